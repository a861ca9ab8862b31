package vm

import "iter"

// A TLB is a cache of translations. It believes what it holds: forgetting to
// flush after a change of the page table shows, as it does on hardware, and
// [MMU.CheckTLB] says where.
//
// Not safe for concurrent use: it belongs to one core.
type TLB interface {
	// Lookup finds the entry for va under asid, or a global one. acc tells an
	// instruction fetch from a load or store, for split TLBs; permissions are
	// the caller's to check. It counts as one reference, hit or miss.
	Lookup(asid ASID, va VirtAddr, acc Access) (Entry, bool)

	// LookupAll translates vas[i] to pas[i] in order while they hit with
	// permissions in ok, and returns how many it translated. The address it
	// stops at, if any, has been counted as one reference already: a miss, or
	// a hit whose permissions did not do. The caller walks for it, inserts the
	// entry, and goes on behind it. It does not allocate.
	LookupAll(asid ASID, vas []VirtAddr, acc Access, ok PermSet, pas []PhysAddr) int

	// Insert adds e, evicting as the replacement policy says. An entry that
	// covers any address of e under the same tag is replaced, whatever its
	// size: no address ever hits twice.
	Insert(e Entry, acc Access)

	// Flush drops what f describes and returns how many entries that were.
	Flush(f Flush) int

	// Entries yields every entry once, in an order that is the same for the
	// same history. The TLB must not change meanwhile.
	Entries() iter.Seq[Entry]
}

// A DirectTLB is a TLB that can translate one address without handing out the
// entry, which makes [MMU.Translate] faster.
type DirectTLB interface {
	// Translate is LookupAll for one address: it counts as one reference and
	// returns false after a miss or a hit with other rights than those in ok.
	Translate(asid ASID, va VirtAddr, acc Access, ok PermSet) (PhysAddr, bool)
}

// A Flush says which translations to drop; the zero Flush drops all of them.
//
//	                        OneVA  OneASID  Globals
//	sfence.vma  x0, x0      –      –        –         TLBI VMALLE1, CR4.PGE toggled
//	sfence.vma  x0, asid    –      ✓        –         TLBI ASIDE1, mov cr3
//	sfence.vma  va, x0      ✓      –        –         TLBI VAAE1
//	sfence.vma  va, asid    ✓      ✓        –         TLBI VAE1
//	invlpg      va          ✓      ✓        ✓
type Flush struct {
	VA      VirtAddr
	ASID    ASID
	OneVA   bool // only the page that contains VA
	OneASID bool // only entries tagged ASID; global ones stay unless Globals
	Globals bool // with OneASID: global entries go as well
}

// FlushASID drops what is tagged asid and keeps global entries.
func FlushASID(asid ASID) Flush { return Flush{ASID: asid, OneASID: true} }

// FlushVA drops the page of va under every tag, and global.
func FlushVA(va VirtAddr) Flush { return Flush{VA: va, OneVA: true} }

// FlushVAASID drops the page of va under asid and keeps a global one.
func FlushVAASID(va VirtAddr, asid ASID) Flush {
	return Flush{VA: va, ASID: asid, OneVA: true, OneASID: true}
}

// Invlpg drops the page of va under asid and a global one, as x86's INVLPG.
func Invlpg(va VirtAddr, asid ASID) Flush {
	return Flush{VA: va, ASID: asid, OneVA: true, OneASID: true, Globals: true}
}

// Matches reports whether f drops e.
func (f Flush) Matches(e Entry) bool {
	if f.OneVA && !e.Contains(f.VA) {
		return false
	}
	if !f.OneASID {
		return true
	}
	if e.Global {
		return f.Globals
	}
	return e.ASID == f.ASID
}
