package lsm

import "sync/atomic"

// A readState is what a read looks at: the memtables and the tables, as they were
// at one moment. It never changes. Whoever holds a reference may use it; the last
// to let go releases the memtables and the version.
type readState struct {
	mems    []*memTable // newest first; the first is being written
	version *version
	refs    atomic.Int32
	done    func() // called when the last reference goes
}

func newReadState(mems []*memTable, v *version, done func()) *readState {
	rs := &readState{mems: mems, version: v, done: done}
	for _, m := range mems {
		m.ref()
	}
	v.ref()
	rs.refs.Store(1)
	return rs
}

func (rs *readState) unref() {
	if rs.refs.Add(-1) > 0 {
		return
	}
	for _, m := range rs.mems {
		m.unref()
	}
	rs.version.unref()
	rs.done()
}

// acquire takes a reference to the current read state, or fails with ErrClosed.
func (d *DB) acquire() (*readState, error) {
	d.stateMu.RLock()
	rs := d.state
	if rs == nil {
		d.stateMu.RUnlock()
		return nil, ErrClosed
	}
	rs.refs.Add(1)
	d.stateMu.RUnlock()
	return rs, nil
}

// hold keeps Close from releasing anything until let is called, without keeping a
// memtable or a version. It fails with ErrClosed.
func (d *DB) hold() (let func(), err error) {
	d.stateMu.RLock()
	defer d.stateMu.RUnlock()
	if d.state == nil {
		return nil, ErrClosed
	}
	d.liveStates.Add(1)
	return d.liveStates.Done, nil
}

// publish makes the memtables and the version of d what reads see, unless Close has taken
// that away: a compaction that holds it up may come here after that. d.mu is held.
func (d *DB) publish() {
	mems := make([]*memTable, 0, 1+len(d.imms))
	if d.mem != nil {
		mems = append(mems, d.mem)
	}
	for i := len(d.imms) - 1; i >= 0; i-- {
		mems = append(mems, d.imms[i])
	}
	d.liveStates.Add(1)
	rs := newReadState(mems, d.version, d.stateDone)
	d.stateMu.Lock()
	old := d.state
	if d.unreadable {
		old = rs
	} else {
		d.state = rs
	}
	d.stateMu.Unlock()
	if old != nil {
		old.unref()
	}
}

// stateDone notes that nobody reads an old state any more.
func (d *DB) stateDone() { d.liveStates.Done() }
