package vm

// An EventKind says what an [Event] reports.
type EventKind uint8

// The kinds of event, and the fields of Event that they fill besides ASID. The
// MMU emits EventLookup, Fault, Done, Flush and Switch; the page table Step and
// Update; the TLB Fill and Evict (the MMU emits Fill for a TLB that is no Emitter);
// a kernel, to its MMU's sink, PageIn and what follows it.
const (
	EventLookup  EventKind = iota + 1 // TLB asked: VA Access Hit, on a hit Entry
	EventStep                         // walk read an entry: VA Level PTEAddr PTE Stage
	EventUpdate                       // walk set accessed or dirty: PTEAddr PTE (the new value)
	EventFill                         // TLB took an entry: Entry Level (of the TLB)
	EventEvict                        // TLB gave one up for it: Entry Level (of the TLB)
	EventFlush                        // software flushed: Flush Count
	EventFault                        // translation failed: VA Access Fault
	EventDone                         // translation succeeded, of bytes when they are copied: VA Access PA
	EventSwitch                       // the core changed its address space: ASID
	EventPageIn                       // kernel resolved a page fault: ASID VA Access PA, Count (page), Hit (no device was asked)
	EventPageOut                      // kernel evicted a page: PA, Count (page), Hit (it was clean)
	EventCopy                         // kernel copied a page because it was written: ASID VA PA (of the copy), Count (page)
	EventPromote                      // kernel made a huge page: ASID VA
	EventDemote                       // kernel made small pages of a huge one: ASID VA
)

// An Event is one thing that the MMU, its TLB or its page table did. Events are
// values; only Fault points anywhere, and what it points to does not change.
type Event struct {
	Kind    EventKind
	Access  Access
	Hit     bool
	Level   int8  // EventStep: level of the table; EventFill, EventEvict: TLB level, 1 is the first
	Stage   uint8 // EventStep with two stages: 1 or 2 (the hypervisor's)
	ASID    ASID
	VA      VirtAddr // with Stage 2: the guest-physical address being translated
	PA      PhysAddr
	PTEAddr PhysAddr
	PTE     uint64
	Entry   Entry
	Flush   Flush
	Count   int
	Fault   *Fault
}

// A Sink receives events in the order they happen, on the goroutine that caused
// them. It must not use the MMU. A nil Sink costs nothing per translation.
type Sink func(Event)

// An Emitter is a page table or a TLB that reports its own events.
// [MMU.SetEvents] hands its sink on to those that are.
type Emitter interface {
	SetEvents(Sink)
}
