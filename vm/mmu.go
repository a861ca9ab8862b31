package vm

// MMUOptions are the parts of an [MMU]; the zero value is an MMU without a TLB,
// which walks for every access.
type MMUOptions struct {
	TLB       TLB       // nil: none
	WalkCache WalkCache // nil: none; used if the page table is a [CachedWalker]
	Events    Sink      // nil: none

	// Frames, if set, is asked on every walk whether the address space may use
	// the frame it found, and, if it is a [TableOwner] and the page table a
	// [Locator], the tables on the way. Strict makes a no a fault (FrameNotOwned);
	// otherwise the access goes on and is counted in MMUStats.NotOwned.
	Frames FrameOwner
	Strict bool
}

// An MMU translates for one core: TLB in front, page table behind.
//
// It belongs to one goroutine at a time. Several MMUs may share memory and page
// tables.
type MMU struct {
	opts  MMUOptions
	mem   *Memory
	table PageTable
	asid  ASID

	direct DirectTLB    // opts.TLB, if it is one and nobody watches
	cached CachedWalker // table, if it can use opts.WalkCache
	plain  bool         // no TLB, and nothing that must see single walks
	va1    [1]VirtAddr  // a batch of one, for plain walks
	pa1    [1]PhysAddr
	dry    DryWalker          // table, if it can walk without updating
	ok     [256]PermSet       // what each access needs of a TLB entry
	spaces map[ASID]PageTable // last table seen under each tag, for CheckTLB
	stats  MMUStats
}

// MMUStats counts what an MMU did besides hitting its TLB, which counts for
// itself.
type MMUStats struct {
	Walks    uint64 // page-table walks that yielded a translation
	Refs     uint64 // memory references that they made, where there is a TLB
	Faults   uint64 // translations that failed
	NotOwned uint64 // translations to frames that the address space does not own (loose mode)
}

// NewMMU returns an MMU over mem (which Read and Write use; nil if neither is
// called). A nil o means the defaults. Until [MMU.Switch] every access faults.
func NewMMU(mem *Memory, o *MMUOptions) *MMU {
	m := &MMU{mem: mem, spaces: map[ASID]PageTable{}, table: noTable{}}
	if o != nil {
		m.opts = *o
	}
	m.SetEvents(m.opts.Events)
	return m
}

// Switch makes t, tagged asid, the current address space, as a write to satp,
// TTBR0 or CR3 (with bit 63 set) does: the TLB keeps what it holds. Call it again
// after anything that changes what t.Permits says. The table that is left, if it is
// an [Emitter], reports no more to the sink of m.
func (m *MMU) Switch(t PageTable, asid ASID) {
	if m.opts.Events != nil {
		setEvents(m.table, nil)
	}
	m.table, m.asid = t, asid
	m.spaces[asid] = t
	m.cached, m.dry = nil, nil
	if m.opts.WalkCache != nil {
		m.cached, _ = t.(CachedWalker)
	}
	m.dry, _ = t.(DryWalker)
	for a := range Access(NumAccesses) {
		m.ok[a] = t.Permits(a)
	}
	if m.opts.Events != nil {
		setEvents(t, m.opts.Events)
		m.opts.Events(Event{Kind: EventSwitch, ASID: asid})
	}
	m.setPlain()
}

func (m *MMU) setPlain() {
	m.plain = m.opts.TLB == nil && m.opts.Events == nil && m.opts.Frames == nil && m.cached == nil
}

// SetEvents sends events to sink from now on; nil turns them off. The sink is
// handed on to the TLB and the current table if they are [Emitter]s.
func (m *MMU) SetEvents(sink Sink) {
	had := m.opts.Events != nil
	m.opts.Events = sink
	m.setPlain()
	m.direct = nil
	if sink == nil {
		m.direct, _ = m.opts.TLB.(DirectTLB)
	}
	if sink != nil || had {
		setEvents(m.table, sink)
		setEvents(m.opts.TLB, sink)
	}
}

func setEvents(part any, sink Sink) {
	if e, ok := part.(Emitter); ok {
		e.SetEvents(sink)
	}
}

// Table returns the current page table, nil before the first Switch.
func (m *MMU) Table() PageTable {
	if _, none := m.table.(noTable); none {
		return nil
	}
	return m.table
}

// ASID returns the current tag.
func (m *MMU) ASID() ASID { return m.asid }

// TLB returns the TLB, or nil.
func (m *MMU) TLB() TLB { return m.opts.TLB }

// Memory returns the memory that Read and Write use.
func (m *MMU) Memory() *Memory { return m.mem }

// Stats returns the counters so far.
func (m *MMU) Stats() MMUStats { return m.stats }

// Translate returns the physical address of va for acc. The error is always a
// *[Fault]; then nothing has changed. It does not allocate unless it fails.
func (m *MMU) Translate(va VirtAddr, acc Access) (PhysAddr, error) {
	if m.direct != nil {
		if pa, ok := m.direct.Translate(m.asid, va, acc, m.ok[acc]); ok {
			return pa, nil
		}
		return m.fill(va, acc)
	}
	if m.plain {
		m.va1[0] = va
		if _, f := m.table.WalkAll(m.va1[:], acc, m.pa1[:]); f != nil {
			return 0, m.failed(f)
		}
		m.stats.Walks++
		return m.pa1[0], nil
	}
	if m.opts.TLB != nil && m.opts.Events == nil {
		if e, hit := m.opts.TLB.Lookup(m.asid, va, acc); hit && m.ok[acc].Has(e.Perm) {
			return e.Addr(va), nil
		}
		return m.fill(va, acc)
	}
	return m.translateSlow(va, acc)
}

// translateSlow is Translate with events, or without a TLB.
func (m *MMU) translateSlow(va VirtAddr, acc Access) (PhysAddr, error) {
	if m.opts.TLB != nil {
		e, hit := m.opts.TLB.Lookup(m.asid, va, acc)
		m.emit(Event{Kind: EventLookup, VA: va, Access: acc, Hit: hit, Entry: e})
		if hit && m.ok[acc].Has(e.Perm) {
			pa := e.Addr(va)
			m.emit(Event{Kind: EventDone, VA: va, Access: acc, PA: pa, Entry: e})
			return pa, nil
		}
	}
	pa, err := m.fill(va, acc)
	if err == nil {
		m.emit(Event{Kind: EventDone, VA: va, Access: acc, PA: pa})
	}
	return pa, err
}

func (m *MMU) emit(e Event) {
	if m.opts.Events != nil {
		e.ASID = m.asid
		m.opts.Events(e)
	}
}

// fill walks for va after the TLB had nothing that would do, and fills it. An
// entry that forbids the access is walked for as well, as processors do before
// they raise a fault: rights that were added need no flush to be seen.
func (m *MMU) fill(va VirtAddr, acc Access) (PhysAddr, error) {
	e, f := m.walk(va, acc)
	if f != nil {
		return 0, m.failed(f)
	}
	m.stats.Walks++
	m.stats.Refs += uint64(e.Refs)
	if m.opts.TLB != nil {
		m.opts.TLB.Insert(e, acc)
		if _, self := m.opts.TLB.(Emitter); !self {
			m.emit(Event{Kind: EventFill, VA: va, Entry: e, Level: 1})
		}
	}
	return e.Addr(va), nil
}

// failed counts and reports a fault.
func (m *MMU) failed(f *Fault) error {
	f.ASID = m.asid
	m.stats.Faults++
	m.emit(Event{Kind: EventFault, VA: f.VA, Access: f.Access, Fault: f})
	return f
}

// Flush drops translations from the TLB and from the page-walk cache, and
// returns how many entries the TLB lost.
func (m *MMU) Flush(f Flush) int {
	n := 0
	if m.opts.TLB != nil {
		n = m.opts.TLB.Flush(f)
	}
	if c, ok := m.opts.WalkCache.(Flusher); ok && any(c) != any(m.opts.TLB) {
		c.Flush(f)
	}
	m.emit(Event{Kind: EventFlush, VA: f.VA, Flush: f, Count: n})
	return n
}

// noTable is the address space before the first Switch: nothing is mapped.
type noTable struct{}

func (noTable) Walk(va VirtAddr, acc Access) (Entry, *Fault) {
	return Entry{}, &Fault{Kind: NotPresent, VA: va, Access: acc, Level: -1, Note: "the MMU has no page table yet"}
}

func (t noTable) WalkAll(vas []VirtAddr, acc Access, _ []PhysAddr) (int, *Fault) {
	if len(vas) == 0 {
		return 0, nil
	}
	_, f := t.Walk(vas[0], acc)
	return 0, f
}

func (t noTable) Probe(va VirtAddr) (Entry, *Fault) { return t.Walk(va, Read) }

func (noTable) Permits(Access) PermSet { return 0 }
