package lsm

import (
	"errors"
	"fmt"
	"sync"

	"github.com/memlab-go/memlab/lsm/internal/keys"
	"github.com/memlab-go/memlab/lsm/internal/memtable"
)

// maxGroup bounds the bytes of the batches that one leader commits together.
const maxGroup = 1 << 20

// parallelGroup is the size from which the members of a group insert their own
// batches, at once, instead of leaving it to the leader.
const parallelGroup = 128 << 10

// errAbandoned is the error of a commit while nobody has come back from it.
var errAbandoned = errors.New("lsm: not written: Options.Events panicked or ended the goroutine that called it")

// errInsert is why a store latches whose Comparer has panicked in a write.
var errInsert = errors.New("Options.Comparer panicked or ended the goroutine while a batch was written")

// A commit is one Apply on its way through the pipeline, or, with fn set, work
// that must run while nobody commits.
type commit struct {
	batch *Batch
	level Durability
	fn    func() error
	err   error
	seq   keys.SeqNum     // of the batch's first record, once assigned
	mem   *memTable       // where a member of a parallel group inserts
	wg    *sync.WaitGroup // of that group
	in    memtable.Inserter
	wake  chan signal // capacity 1
}

func newCommit(seed uint64) *commit {
	c := &commit{wake: make(chan signal, 1)}
	c.in.Seed(seed << 32)
	return c
}

// A signal tells a waiting commit what to do next.
type signal uint8

const (
	finished signal = iota // its result is in err
	lead                   // it is the leader now
	insert                 // it inserts its own batch, then waits on
)

// A commitQueue makes commits take turns. The first to come leads: it takes along
// whoever has queued up, commits them as a group, and passes the lead on.
type commitQueue struct {
	maxNeed int // bytes of an empty memtable: what a group of several may need

	mu      sync.Mutex
	pending []*commit
	group   []*commit // of the current leader
	leading bool
}

// enter queues c and waits until it leads or is done. It reports whether c leads.
func (q *commitQueue) enter(c *commit) bool {
	q.mu.Lock()
	q.pending = append(q.pending, c)
	if !q.leading {
		q.leading = true
		q.mu.Unlock()
		return true
	}
	q.mu.Unlock()
	for {
		switch <-c.wake {
		case finished:
			return false
		case lead:
			return true
		case insert:
			c.insert()
		}
	}
}

// insert puts the batch of a member of a parallel group into the memtable. If that panics,
// the error is left as it was.
func (c *commit) insert() {
	defer c.wg.Done()
	c.err = c.mem.insert(&c.in, batchReader{data: c.batch.rep[batchHeader:]}, c.seq)
}

// take returns the leader's group: itself and those behind it, as far as they fit
// together, in one write and in an empty memtable. So a batch that is too large for a
// memtable is alone, and if there is no room for it nobody else fails. Work (fn) is
// always alone.
func (q *commitQueue) take() []*commit {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := 1
	if first := q.pending[0]; first.fn == nil {
		size, need := first.batch.Size(), first.batch.need
		for ; n < len(q.pending) && q.pending[n].fn == nil; n++ {
			b := q.pending[n].batch
			size, need = size+b.Size(), need+b.need
			if size > maxGroup || need > q.maxNeed {
				break
			}
		}
	}
	q.group = append(q.group[:0], q.pending[:n]...)
	m := copy(q.pending, q.pending[n:])
	clear(q.pending[m:])
	q.pending = q.pending[:m]
	return q.group
}

// leave passes the lead on and wakes the members of the group.
func (q *commitQueue) leave(group []*commit) {
	q.mu.Lock()
	var next *commit
	if len(q.pending) > 0 {
		next = q.pending[0]
	} else {
		q.leading = false
	}
	followers := group[1:]
	for _, c := range followers {
		c.wake <- finished
	}
	clear(group)
	q.mu.Unlock()
	if next != nil {
		next.wake <- lead
	}
}

// Apply applies the records of b, all or none, at the durability of o. b must not
// change meanwhile; it may be used again afterwards. An empty or nil batch does nothing.
//
// Errors: [ErrTooLarge], [ErrClosed], [ErrReadOnly], [ErrMemoryLimit] after a stall
// that took too long, or what the file system said. After an error none of the
// batch is visible, unless a failed fsync has made the store read-only: then what
// is on the disk is known only once it has been opened again.
func (d *DB) Apply(b *Batch, o *WriteOptions) error {
	level := d.opts.Durability
	if o != nil {
		level = o.Durability
	}
	if level > Buffered {
		return fmt.Errorf("%w: %v", ErrOptions, level)
	}
	if b == nil {
		return d.writable()
	}
	if b.err != nil {
		return b.err
	}
	if b.count == 0 {
		return d.writable()
	}
	return d.commit(b, level)
}

func (d *DB) commit(b *Batch, level Durability) error {
	c, _ := d.commitPool.Get().(*commit)
	if c == nil {
		c = newCommit(d.seed.Add(1))
	}
	c.batch, c.level, c.err = b, level, nil
	if d.commits.enter(c) {
		d.lead(d.commitGroup)
	}
	err := c.err
	c.batch, c.mem, c.wg = nil, nil, nil
	d.commitPool.Put(c)
	return err
}

// exclusive runs fn while nobody commits.
func (d *DB) exclusive(fn func() error) error {
	c := newCommit(0)
	c.fn = fn
	if d.commits.enter(c) {
		d.lead(func([]*commit) { c.err = fn() })
	}
	return c.err
}

// lead does the work of the leader and passes the lead on, also when a listener
// panics or ends the goroutine meanwhile: the others find out by their error.
func (d *DB) lead(work func(group []*commit)) {
	group := d.commits.take()
	defer d.commits.leave(group)
	for _, c := range group {
		c.err = errAbandoned
	}
	work(group)
}
