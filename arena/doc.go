// Package arena supplies memory from the operating system, outside Go's heap:
// regions that reserve address space once and commit pages on demand, and bump
// allocation inside them.
//
// # Parts
//
//   - [Region]: one range of address space. [Reserve] makes it, from the
//     system, the Go heap or a file; [FromBytes] takes memory of the caller's;
//     [Region.Shrink] gives the end of one back.
//   - [Arena]: bump allocation for one goroutine, a stack with [Arena.Mark] and
//     [Arena.Release]; typed with [New] and [MakeSlice].
//   - [Concurrent]: bump allocation for many goroutines in one region.
//   - [Pager]: the system calls, so that a test can make the k-th of them fail;
//     package arenatest has such pagers.
//
// # One operation, step by step
//
// What New[point](&a) does on a zero Arena, point being two float64:
//
//  1. It asks whether point holds Go pointers. It does not; else New panics and
//     names the field. The answer is kept in the arena.
//  2. The arena has no chunk yet, so it reserves a region of 1 MiB: one mmap,
//     readable and writable, without memory behind it, and one madvise against
//     huge pages.
//  3. It commits the first 256 KiB: 64 bits are set in the region's page set and
//     262144 is added to the committed bytes. On Linux there is no system call.
//  4. The position, 0, is a multiple of 8 already. It goes on to 16, and the
//     bytes before it are returned as a *point. They are zero: nobody has used
//     them.
//  5. The caller writes p.x; the kernel supplies the page. Only now does the
//     process grow, by 4 KiB.
//
// The second New needs steps 1 and 4 only.
//
// # Memory
//
//	        ◀───────────────── reserved (Size) ─────────────────▶
//	┌──────┬──────────────────────┬─────────┬─────────────┬──────┬──────┐
//	│guard │ committed            │decommit-│ committed   │ never│ guard│
//	│      │▓▓▓▓▓▓▓▓▓▓▓▓ touched  │ted      │▓▓▓          │ used │      │
//	└──────┴──────────────────────┴─────────┴─────────────┴──────┴──────┘
//	       ▲ Bytes()[0]    ▲ resident: the pages that were touched
//
// Committed is what the owner may touch and what Options.Limit bounds.
// Resident is what the kernel has supplied. Decommitting a page makes it
// neither; committed again it reads as zero.
//
//	                reserve             commit       decommit           race detector
//	Mmap            mmap, VirtualAlloc  count only¹  madvise DONTNEED²  blind
//	GoHeap          make                count only   clear              sees it
//	File            open, mmap          fallocate³   punch a hole⁴      blind
//	Sparse          mmap PROT_NONE      mprotect     madvise DONTNEED   blind
//	FromBytes       nothing             clear        clear              as the bytes
//
//	¹ Windows: VirtualAlloc with MEM_COMMIT. Linux with vm.overcommit_memory=2: mprotect.
//	² macOS and FreeBSD: fresh pages are mapped over; Windows: MEM_DECOMMIT.
//	³ macOS and FreeBSD: zeros are written.   ⁴ The same.
//
// On systems without mappings (js/wasm, wasip1, plan9) Mmap is GoHeap, and
// File and Sparse are [ErrUnsupported]; so is File on Windows.
//
// # Limits and caveats
//
//   - Views die with Close, Shrink, Reset, Release, and Decommit of their pages.
//     Touching a view of a closed region ends the process (or, worse, hits
//     whatever was mapped there since). [Region.Owns] tells whether a slice is
//     of an open region. A stale address kept in a Go variable of pointer type
//     can make the collector stop the program later.
//   - Touching bytes that are not committed is not detected in ordinary builds.
//     Built with the invariants tag, pages that are not committed fault, memory
//     that a Release took back holds 0xDD, and a second Close or a stale
//     Release panics.
//   - Memory must hold no Go pointers: the collector does not look there. The
//     typed helpers refuse such types; through Bytes and Alloc it is the
//     caller's care.
//   - A region that is dropped without Close is not unmapped, since views of it
//     may live on. Options.OnLeak reports it.
//   - Memory outside the heap does not count for GOGC: a small heap is
//     collected more often. GOMEMLIMIT does not count it either.
//   - Anonymous mappings are private to the process. A child made by exec
//     inherits nothing, and Go cannot fork without exec. A File is shared with
//     whoever maps it.
//   - The kernel grants a process some 65 000 map entries and the Go runtime
//     needs them too. A region takes one, plus what Guard, Protect and Move
//     add; Stats.Mappings is an upper bound.
//   - Bytes of a File reach the device when the system likes, or by
//     [Region.Sync].
//
// # Concurrency
//
// A Region is safe for concurrent use, its bytes being the owner's affair; an
// Arena is for one goroutine at a time; a Concurrent is safe except for Reset,
// Trim and Close. The race detector ignores accesses to mapped memory, so test
// with the GoHeap backing under -race.
//
// # Sources
//
// Hanson, "Fast allocation and deallocation of memory based on object
// lifetimes", Software Practice and Experience 20(1), 1990, for arenas; the
// obstacks of the GNU C library for Mark and Release; mmap(2), madvise(2),
// mremap(2) and fallocate(2) of the Linux manual for what the kernel promises.
package arena
