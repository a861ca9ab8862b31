package lsm

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/memlab-go/memlab/lsm/internal/keys"
)

// commitGroup commits the batches of a group, in order, and sets each one's
// error. The caller leads the queue.
//
//  1. Make room: enough of the memtable is promised to the group. A full memtable
//     is rotated, which may wait for a flush.
//  2. Give out sequence numbers, one to a record.
//  3. Write one log record for each batch and bring them as far as the highest
//     durability in the group asks: one write, and one fsync for all.
//  4. Insert into the memtable: the leader everything, or, when there is much, each
//     member its own batch at once. With updates in place the order counts: the
//     leader does it.
//  5. Raise the visible sequence number: readers see the group, all at once.
func (d *DB) commitGroup(group []*commit) {
	need, count, level := 0, 0, Buffered
	for _, c := range group {
		need += c.batch.need
		count += int(c.batch.count)
		level = strongest(level, c.level)
	}
	err := d.writable()
	if err == nil {
		err = d.makeRoom(need, count)
	}
	if err == nil {
		if err = d.logGroup(group, level); err != nil {
			d.mem.reserved -= need
		}
	}
	if err != nil {
		for _, c := range group {
			c.err = err
		}
		return
	}
	if !d.insertGroup(group, need) {
		return
	}
	d.lastSeq += keys.SeqNum(count)
	d.mem.reserved -= need
	d.visible.Store(uint64(d.lastSeq))
	d.counters.writes.Add(uint64(count))
	d.counters.groups.Add(1)
}

// strongest returns the stricter of two levels.
func strongest(a, b Durability) Durability {
	if a == Sync || b == Sync {
		return Sync
	}
	if a == OS || b == OS {
		return OS
	}
	return Buffered
}

// logGroup numbers the batches and writes them to the log. On failure the log is
// as before.
func (d *DB) logGroup(group []*commit, level Durability) error {
	mark := d.wal.mark()
	defer func() { d.counters.logBytes.Add(uint64(d.wal.size() - int64(mark))) }()
	seq := d.lastSeq + 1
	for _, c := range group {
		c.seq = seq
		binary.LittleEndian.PutUint64(c.batch.rep, uint64(seq))
		binary.LittleEndian.PutUint32(c.batch.rep[8:], c.batch.count)
		if err := d.wal.append(c.batch.rep); err != nil {
			return d.logFailed(mark, err)
		}
		seq += keys.SeqNum(c.batch.count)
		d.counters.userBytes.Add(uint64(len(c.batch.rep) - batchHeader))
	}
	if level == Buffered {
		return nil
	}
	if err := d.wal.flush(); err != nil {
		return d.logFailed(mark, err)
	}
	if level == Sync {
		start := time.Now()
		if err := d.wal.sync(); err != nil {
			return d.latch(fmt.Errorf("fsync of %s: %w", d.wal.name, err))
		}
		d.counters.syncs.Add(1)
		d.counters.syncNs.Add(int64(time.Since(start)))
	}
	return nil
}

// logFailed undoes what a failed group left in the log. If that fails as well
// there may be garbage in the log, and the store latches.
func (d *DB) logFailed(mark walMark, err error) error {
	err = fmt.Errorf("lsm: write %s: %w", d.wal.name, err)
	if rerr := d.wal.rewind(mark); rerr != nil {
		return d.latch(fmt.Errorf("%w, and cutting the log back failed: %w", err, rerr))
	}
	return err
}

// insertGroup puts the batches into the memtable. Their room was reserved, so
// only a broken batch can fail, and Apply checks nothing else in. If the Comparer panics
// meanwhile, wherever that is recovered from, part of the group is in and nobody is to see it:
// the store latches, all of the group fail, and the result is false.
func (d *DB) insertGroup(group []*commit, need int) (ok bool) {
	defer func() {
		if ok {
			return
		}
		err := d.latch(errInsert)
		for _, c := range group {
			c.err = err
		}
	}()
	if len(group) == 1 || need < parallelGroup || d.opts.InPlaceUpdate {
		for _, c := range group {
			c.err = d.mem.insert(&d.ins, batchReader{data: c.batch.rep[batchHeader:]}, c.seq)
		}
		return true
	}
	var wg sync.WaitGroup
	wg.Add(len(group) - 1)
	defer wg.Wait() // also if the leader's own panics: the others use the memtable
	for _, c := range group[1:] {
		c.mem, c.wg = d.mem, &wg
		c.wake <- insert
	}
	c := group[0]
	c.err = d.mem.insert(&d.ins, batchReader{data: c.batch.rep[batchHeader:]}, c.seq)
	wg.Wait()
	return !slices.ContainsFunc(group, func(c *commit) bool { return c.err == errAbandoned })
}

// makeRoom sees to it that the memtable takes need more bytes and count more
// sequence numbers. The caller leads the queue.
func (d *DB) makeRoom(need, count int) error {
	if err := d.slowDown(); err != nil {
		return err
	}
	if d.lastSeq > keys.MaxSeqNum-keys.SeqNum(count) {
		return fmt.Errorf("%w: the sequence numbers are used up, the last one was %d", ErrReadOnly, d.lastSeq)
	}
	if d.mem.reserve(need, count, d.lastSeq+1) {
		return nil
	}
	if err := d.rotate(need); err != nil {
		return err
	}
	if !d.mem.reserve(need, count, d.lastSeq+1) {
		return fmt.Errorf("%w: batch of %d records takes %d bytes, a memtable has %d",
			ErrTooLarge, count, need, d.mem.arena.Capacity())
	}
	return nil
}
