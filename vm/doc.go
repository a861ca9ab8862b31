// Package vm simulates virtual memory: the words of the subject (addresses,
// accesses, faults, page tables, TLBs), physical memory, and an MMU that puts
// them together.
//
// The parts:
//
//   - [VirtAddr], [PhysAddr], [ASID], [Perm], [Access]: the words.
//   - [Memory]: physical memory, a plain []byte with a physical base.
//   - [Frames]: its frames, given out by a buddy allocator that counts references
//     and keeps the reverse map.
//   - [PageTable]: an address space, walked; vm/pagetable implements it for
//     real and for classic formats. A table of your own plugs in as well.
//   - [TLB]: a cache of translations; vm/tlb implements it.
//   - [MMU]: one core's translation: TLB in front, page table behind.
//   - [Kernel]: what an operating system does with all that: frames for pages
//     that are touched, copy-on-write, huge pages, eviction by a [Policy] of all
//     pages or one for each process with a [Quota], write-back.
//   - [Space]: the address space of a process: Mmap, Munmap, Mprotect, Brk, a stack
//     that grows, Fork, Pin, Discard, MovePages; Read and Write of bytes through
//     the MMU.
//   - [Swap], [File]: where pages go that are not in memory, on a [Device];
//     [FaultyDevice] makes one fail.
//   - [Fault]: why an access failed, down to the entry and the bit.
//   - [Event]: what happened, for pictures, labs and tests.
//
// # One translation, step by step
//
//  1. [MMU.Translate] asks the TLB for the page of the address, under the
//     current [ASID].
//  2. On a hit whose [Perm] allows the access, frame and offset are joined and
//     that is all: a stale entry is believed, as hardware believes it.
//  3. On a miss (or a hit that forbids the access, or a write to a page not yet
//     marked dirty) the page table is walked: one entry is read per level, the
//     permissions are combined, reserved bits and alignment are checked.
//  4. A walk that ends well sets the accessed and dirty bits where the format
//     has hardware do that, and its [Entry] goes into the TLB.
//  5. A walk that does not ends in a *[Fault], and nothing has changed: no bit
//     in memory, no entry in the TLB.
//
// # One page fault, step by step
//
//  1. [Space.Write] checks the whole range against the areas, and hands one page
//     after the other to the MMU, which faults: not present, or protection.
//  2. The space finds its page: the file's, one that a fork left, or a new one;
//     a read of memory that was never written sees the page of zeros, which all
//     share.
//  3. A page that is not in memory gets a frame from [Frames]. If none is free the
//     [Policy] names a victim. A dirty one is written to its swap slot or its file,
//     a clean one is just dropped; then it is unmapped wherever the reverse map
//     says that it is mapped, with the TLB told each time.
//  4. The page is read from its slot (checksum, slot and generation are checked),
//     read from its file, or zeroed.
//  5. A write to a private page that others have as well, or that is a file's,
//     goes to a copy. The last one who has it writes in place.
//  6. Page table and reverse map are told. If an aligned range of
//     KernelOptions.HugePage bytes is whole and alike now, one entry maps it.
//  7. The MMU tries again. The policy hears of one reference: Insert if the page was
//     loaded, Hit if not. A write that had to load a page to copy it is an Insert of
//     both.
//
// Nothing is changed for good before the last thing that can fail, so an access
// that finds no memory, no slot or a bad disk may be made again.
//
// # Memory picture
//
//	virtual address ──► MMU ──► TLB: (ASID, page) → (frame, perm)
//	                     │ miss
//	                     ▼
//	                    walk: root ─► table ─► … ─► leaf     (entries in Memory)
//	                     │
//	                     ▼
//	physical address = frame + offset;   Memory.bytes[physical address - base]
//
// # Limits
//
// There are no caches of data, no memory types and no speculation: a walk
// happens when an access needs it. Stale translations show exactly where the
// entry survives in the TLB that was configured.
//
// A kernel has one core. Huge pages are made of small ones that are in memory;
// none comes from a page fault as a whole, and they are split to be evicted. Page
// tables and pinned pages are never evicted.
//
// # Concurrency
//
// A [Kernel] and all that belongs to it is for one goroutine at a time.
//
// An MMU belongs to one goroutine at a time, as a core runs one thread. Many
// MMUs may share a Memory and a page table of vm/pagetable while another
// goroutine maps and unmaps: each walk sees the old or the new translation.
//
// # Sources
//
// Intel SDM volume 3A chapter 4, AMD APM volume 2 chapters 5 and 15, the RISC-V
// privileged specification 20240411 chapters 10, 11 and 18 (Sv39, Svnapot,
// Svpbmt, Svade, Svadu, hypervisor extension), Arm ARM DDI 0487 chapter D8.
package vm
