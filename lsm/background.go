package lsm

import (
	"errors"
	"fmt"
	"time"
)

// latch makes the store read-only for good, and returns the error that says why.
// The first reason stays.
func (d *DB) latch(cause error) error {
	err := fmt.Errorf("%w until it is opened again: %w", ErrReadOnly, cause)
	if d.fatal.CompareAndSwap(nil, &err) {
		d.emit(Event{Kind: Latched, Err: cause})
	}
	d.wakeBackground()
	return *d.fatal.Load()
}

// wakeBackground tells everybody who waits that something may have changed.
func (d *DB) wakeBackground() {
	d.mu.Lock()
	d.change.Broadcast()
	d.mu.Unlock()
}

// waitChange waits until something changes or the deadline passes, and reports
// whether there is time left.
func (d *DB) waitChange(deadline time.Time) bool {
	left := time.Until(deadline)
	if left <= 0 {
		return false
	}
	d.mu.Lock() // before the timer, which must not ring unheard
	defer d.mu.Unlock()
	t := time.AfterFunc(min(left, 10*time.Millisecond), d.wakeBackground)
	defer t.Stop()
	d.change.Wait()
	return true
}

// pause waits after a failure and reports whether the store is still open.
func (d *DB) pause(t time.Duration) bool {
	timer := time.NewTimer(t)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-d.closeCh:
		return false
	}
}

func (d *DB) isClosing() bool {
	select {
	case <-d.closeCh:
		return true
	default:
		return false
	}
}

// setBackgroundError notes how the last background work of a kind ended.
func (d *DB) setBackgroundError(kind int, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.bgErr[kind] = err
	if err != nil {
		d.bgFailed[kind]++
		d.counters.backgroundErrors.Add(1)
	}
	d.change.Broadcast()
}

// backgroundError returns why background work of any kind is failing, or nil.
func (d *DB) backgroundError() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return errors.Join(d.bgErr[:]...)
}

// failures returns how often background work of a kind has failed.
func (d *DB) failures(kind int) uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.bgFailed[kind]
}

// A waiter waits for what background work of one kind does. It gives up when such
// work fails, while other work may go on failing.
type waiter struct {
	d     *DB
	kind  int
	since uint64    // failures that do not count: there were as many before
	until time.Time // zero: for as long as it takes
	state string    // what the store is in, for the error when the work fails
}

// errTooLong says that a wait has reached its end.
var errTooLong = errors.New("lsm: waited too long")

// wait waits until cond, which it calls without a lock, is true or fails. Its error
// is that of cond, why the store takes no writes, why the work fails, or errTooLong.
func (w *waiter) wait(cond func() (bool, error)) error {
	for {
		if ok, err := cond(); ok || err != nil {
			return err
		}
		if err := w.d.writable(); err != nil {
			return err
		}
		if err := w.failure(); err != nil {
			return err
		}
		until := w.until
		if until.IsZero() {
			until = time.Now().Add(time.Second)
		}
		if !w.d.waitChange(until) {
			return errTooLong
		}
	}
}

// failure returns why the work is failing, if it is and has failed since.
func (w *waiter) failure() error {
	w.d.mu.Lock()
	defer w.d.mu.Unlock()
	if w.d.bgFailed[w.kind] == w.since {
		return nil
	}
	if err := w.d.bgErr[w.kind]; err != nil && w.state != "" {
		return fmt.Errorf("lsm: %s: %w", w.state, err)
	}
	return w.d.bgErr[w.kind]
}

// newFileNum gives out a file number.
func (d *DB) newFileNum() uint64 { return d.nextFile.Add(1) - 1 }

// newOutputNum gives out the number of a table and protects the file from being
// taken for an orphan.
func (d *DB) newOutputNum() uint64 {
	num := d.newFileNum()
	d.mu.Lock()
	d.outputs[num] = true
	d.mu.Unlock()
	return num
}

func (d *DB) outputDone(num uint64) {
	d.mu.Lock()
	delete(d.outputs, num)
	d.mu.Unlock()
}

func (d *DB) outputsDone(files []*fileMeta) {
	for _, f := range files {
		d.outputDone(f.num)
	}
}

// dropUnlessUnknown removes the outputs of a job whose edit failed, unless the
// edit may be on the disk after all.
func (d *DB) dropUnlessUnknown(files []*fileMeta, err error) {
	if !errors.Is(err, ErrReadOnly) {
		d.dropOutputs(files)
	}
}

// slowDown makes a commit group wait when compactions fall behind: a millisecond
// from L0SlowdownTrigger on, and at L0StopTrigger until there is room.
func (d *DB) slowDown() error {
	n := int(d.counters.l0Files.Load())
	if n < d.opts.L0SlowdownTrigger || d.opts.MaxCompactions < 0 {
		return nil
	}
	if n < d.opts.L0StopTrigger {
		defer d.stalled("level 0 grows")()
		d.waitChange(time.Now().Add(time.Millisecond))
		return nil
	}
	defer d.stalled("level 0 is full")()
	w := waiter{d: d, kind: errCompaction, until: time.Now().Add(d.opts.StallLimit), state: "level 0 is full and cannot be compacted"}
	err := w.wait(func() (bool, error) { return int(d.counters.l0Files.Load()) < d.opts.L0StopTrigger, nil })
	if err == errTooLong {
		err = fmt.Errorf("%w: level 0 is full after %v", ErrMemoryLimit, d.opts.StallLimit)
	}
	return err
}

// stalled counts a wait of the commit leader; the function it returns ends it.
func (d *DB) stalled(why string) func() {
	start := time.Now()
	d.counters.stalls.Add(1)
	d.emit(Event{Kind: StallBegin, Reason: why})
	return func() {
		took := time.Since(start)
		d.counters.stallNs.Add(int64(took))
		d.emit(Event{Kind: StallEnd, Reason: why, Took: took})
	}
}
