package lsm

import (
	"sync"

	"github.com/memlab-go/memlab/lsm/internal/keys"
)

// A Snapshot is the store as it was at one moment. Reads of it see exactly the
// writes that had returned by then, whatever is written, flushed and compacted
// since. While it is open, the versions it sees stay on disk. Safe for concurrent
// use.
type Snapshot struct {
	d          *DB
	seq        keys.SeqNum
	prev, next *Snapshot

	mu     sync.RWMutex
	closed bool
}

// A snapshotList is the open snapshots, oldest first, as a ring around a root.
type snapshotList struct {
	root Snapshot
	n    int
}

func (l *snapshotList) init() { l.root.prev, l.root.next = &l.root, &l.root }

func (l *snapshotList) push(s *Snapshot) {
	s.prev, s.next = l.root.prev, &l.root
	s.prev.next, s.next.prev = s, s
	l.n++
}

func (l *snapshotList) remove(s *Snapshot) {
	s.prev.next, s.next.prev = s.next, s.prev
	s.prev, s.next = nil, nil
	l.n--
}

// seqs lists the sequence numbers, oldest first, without repetition.
func (l *snapshotList) seqs() []keys.SeqNum {
	var out []keys.SeqNum
	for s := l.root.next; s != &l.root; s = s.next {
		if len(out) == 0 || out[len(out)-1] != s.seq {
			out = append(out, s.seq)
		}
	}
	return out
}

// NewSnapshot takes a snapshot. It must be closed before the store. The error is
// [ErrClosed], or [ErrInPlace] in a store that updates in place.
func (d *DB) NewSnapshot() (*Snapshot, error) {
	if d.opts.InPlaceUpdate {
		return nil, ErrInPlace
	}
	d.snapMu.Lock()
	defer d.snapMu.Unlock()
	if d.closed.Load() {
		return nil, ErrClosed
	}
	// The number is read under the lock: a compaction that lists the snapshots
	// later sees this one, and one that listed them before knows no newer entries.
	s := &Snapshot{d: d, seq: keys.SeqNum(d.visible.Load())}
	d.snapshots.push(s)
	return s, nil
}

// Get is [DB.Get] at the time of the snapshot.
func (s *Snapshot) Get(key []byte) ([]byte, error) {
	v, err := s.AppendTo(nil, key)
	if v == nil && err == nil {
		v = []byte{}
	}
	return v, err
}

// AppendTo is [DB.AppendTo] at the time of the snapshot.
func (s *Snapshot) AppendTo(dst, key []byte) ([]byte, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return dst, ErrClosed
	}
	return s.d.getAt(dst, key, s.seq)
}

// NewIter is [DB.NewIter] at the time of the snapshot. The iterator may outlive
// the snapshot. The errors are the same, [ErrClosed] also for a closed snapshot.
func (s *Snapshot) NewIter(o *IterOptions) (*Iterator, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return nil, ErrClosed
	}
	return s.d.newIter(o, s.seq)
}

// Close lets go of the snapshot. It may be called twice.
func (s *Snapshot) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	s.d.snapMu.Lock()
	defer s.d.snapMu.Unlock()
	s.d.snapshots.remove(s)
	return nil
}
