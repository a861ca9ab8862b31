package vm

import "strconv"

// A VirtAddr is a virtual address in bytes. Under two-stage translation it is
// the guest's virtual address.
type VirtAddr uint64

// A PhysAddr is a physical address in bytes, as the format encodes it: it
// counts from the physical 0 of the machine, not from the start of [Memory].
type PhysAddr uint64

// An ASID tags the translations of one address space in a TLB: satp.ASID on
// RISC-V (16 bits), the ASID of TTBR0 on Arm, the PCID of CR3 on x86 (12 bits).
type ASID uint16

// String returns the address in hexadecimal with 0x.
func (a VirtAddr) String() string { return "0x" + strconv.FormatUint(uint64(a), 16) }

// String returns the address in hexadecimal with 0x.
func (a PhysAddr) String() string { return "0x" + strconv.FormatUint(uint64(a), 16) }

// A Perm is what a mapping permits: the six bits that a TLB keeps of an entry,
// after the levels of the walk were combined. What they mean for one [Access]
// is the page table's to say ([PageTable.Permits]).
type Perm uint8

// The permission bits.
const (
	PermR   Perm = 1 << iota // readable
	PermW                    // writable
	PermX                    // executable
	PermU                    // user code may use the page
	PermPXN                  // privileged code may not execute it (Arm's PXN)
	PermD                    // writes need no update: the page is marked dirty already

	NumPerms = 1 << 6 // number of Perm values
)

// String draws the bits that a caller sets, "rwxu" with dashes, then "p" for
// PermPXN and "d" for PermD when set.
func (p Perm) String() string {
	b := []byte("----")
	for i, c := range []byte("rwxu") {
		if p>>i&1 != 0 {
			b[i] = c
		}
	}
	if p&PermPXN != 0 {
		b = append(b, 'p')
	}
	if p&PermD != 0 {
		b = append(b, 'd')
	}
	return string(b)
}

// An Access is one way to use an address: an operation ([Read], [Write] or
// [Execute]), who does it, and the switches of that moment. The zero Access is
// a read by privileged code.
type Access uint8

// The operations and the bits that may be added to them.
const (
	Read    Access = 0 // a load
	Write   Access = 1 // a store
	Execute Access = 2 // an instruction fetch

	User Access = 1 << 2 // from user mode (U, VU, CPL 3, EL0); else privileged
	SUM  Access = 1 << 3 // privileged code may touch user pages now: sstatus.SUM, or EFLAGS.AC under SMAP
	MXR  Access = 1 << 4 // executable pages are readable: sstatus.MXR (vsstatus.MXR with two stages)
	HMXR Access = 1 << 5 // the hypervisor's sstatus.MXR: both stages

	NumAccesses = 1 << 6 // number of Access values
	opMask      = 3
)

// Op returns the operation alone: Read, Write or Execute.
func (a Access) Op() Access { return a & opMask }

// Valid reports whether a is an operation with known bits added.
func (a Access) Valid() bool { return a < NumAccesses && a&opMask != 3 }

// IsUser reports whether the access comes from user mode.
func (a Access) IsUser() bool { return a&User != 0 }

// String names operation and mode, "write user", and the switches that are on.
func (a Access) String() string {
	s := [4]string{"read", "write", "execute", "invalid"}[a&opMask]
	if a.IsUser() {
		s += " user"
	} else {
		s += " supervisor"
	}
	for _, m := range []struct {
		bit  Access
		name string
	}{{SUM, " sum"}, {MXR, " mxr"}, {HMXR, " hmxr"}} {
		if a&m.bit != 0 {
			s += m.name
		}
	}
	return s
}

// A PermSet is a set of [Perm] values, one bit each: what [PageTable.Permits]
// returns, so that a TLB hit is checked by a shift and a mask.
type PermSet uint64

// Has reports whether p is in the set.
func (s PermSet) Has(p Perm) bool { return s>>(p&(NumPerms-1))&1 != 0 }
