// Package segregated is the heap to use: small sizes from runs of equal slots,
// larger ones by best fit, every bad free detected, all in one region off the
// Go heap.
//
// The parts:
//
//   - [Heap], made by [New], for one goroutine; [Options] with its size classes,
//     byte limit, mode, zeroing, event sink and name among others;
//   - runs (run.go), what they are cut from in a large heap (reserve.go), how sparse ones
//     become spans (dissolve.go), runs of blocks of up to 8 bytes (tiny.go), and the fast
//     paths of Malloc and Free (small_unsafe.go);
//   - spans: how they are marked (marks.go) and measured (span.go), bins of free ones
//     (bin.go), taking and splitting (fit.go), freeing and joining (join.go), the top
//     (top.go), short lists of what was freed last (quick.go), what they hold in chunks
//     (quickmore.go) and how much (quickshare.go), joining that is put off (deferred.go),
//     and frees that are (notes.go);
//   - pages: commit, and a few ahead (pages.go), by what rule they go back
//     (sweep.go), which are held for a while (held.go), how they pay for growth
//     (trade.go), and which are kept from one round to the next (rounds.go);
//   - [Heap.Compact], for callers who can update their references (compact.go): what is
//     used of each page (compact_survey.go), moving slots (compact_run.go), finding
//     places (compact_place.go);
//   - [Heap.Check], [Heap.Blocks], [Heap.Stats];
//   - the modes Checked and Guarded ([Mode]): a layer over all that (mode.go,
//     checked.go) with records and canaries (canary.go), poison, a quarantine,
//     blocks between guard pages (guarded.go), and [Heap.Try] for faults;
//   - call stacks (stacks.go) for faults, leaks and [Heap.WriteProfile];
//   - heaps in files: [Open], [Heap.SetRoot], [Heap.Offset] (persist.go), and
//     what is done about a process that was killed (rebuild.go);
//   - [Shared], made by [NewShared], for many goroutines, and its [Handle] for
//     one at a time: the words of runs on which all agree (shared_word.go), fast
//     paths (shared_unsafe.go, handle_unsafe.go), shards and their lists
//     (shard.go, shard_move.go), frees without an atomic operation (bias.go),
//     goroutines that are known by their stacks (shared_claim.go), stocks of larger
//     blocks (stock.go, stock_unsafe.go) and the words of these (shared_span.go), and
//     what an idle heap does by itself (shared_look.go).
//
// # The words
//
//   - A granule is 16 bytes, a unit 1 KiB of the data. The tables, kinds and rows, have an entry
//     for each unit: what it is, and a bit for each of its granules.
//   - A run is a row of units cut into slots of one size, its class. Of each class one run is
//     current: Malloc takes slots of it. Those that are not, and have free slots, are partial.
//   - A span is what lies between runs: a block of its own, or free. Free ones are in bins by
//     their size, which make up the best-fit space; the top is where the last one ends.
//   - A quick list holds freed spans of one size as they are, for who asks for that size next.
//   - A page that was given back to the system is taken again when it is needed; credit bounds
//     how many are given back.
//   - A heap is still when it has not grown for long: then it keeps more for speed.
//
// # One operation, step by step
//
// h.Malloc(40) and the Free that follows:
//
//  1. 40 rounds up to 48 bytes, a class. Its current run has slots at hand: the lowest of
//     them is taken out of a word of the class, and its bit is set in the row of the run. That
//     is all.
//  2. When no slot is at hand, what Free has returned to the current run is taken over; else an
//     empty run that was kept (idle.go) or the oldest partial one becomes current; else a new one
//     is cut from the best-fit space (run.go), or, where there is much data, from a reserve for
//     runs (reserve.go).
//  3. A class of 64 bytes and more has no runs before its blocks are many or often asked for
//     (isBusy in run.go). Until then, and for sizes above the largest class, the block is a span:
//     the newest in the quick list of its size that is large enough; else the closest of the free
//     spans that a bounded search finds, cut from its end (bin.go, fit.go); else what the top
//     grows by (top.go, pages.go).
//  4. Free(b) subtracts the address of the first data from b's, reads in the kinds what its unit
//     is, finds the slot by a multiplication and clears its bit in the row. If the remainder is
//     not 0, the bit not set or that of no slot, it is a fault, and which one is found out then.
//     For blocks of up to 8 bytes rows have no bits: those lie in a table of their own (tiny.go).
//  5. A freed span waits in its quick list, as long as the lists do not hold too much
//     (quickshare.go), or is joined with its free neighbours (join.go); one that ends at the top
//     lowers it. A run that becomes empty is a free span again; a still heap keeps it for its
//     class. One that is sparse for good becomes spans where it lies (dissolve.go). After many
//     frees in a row what else they have to do is put off, and done for all of them together
//     (deferred.go, notes.go).
//  6. Now and then a tick looks whether it is time for a sweep, which gives back the pages of free
//     spans that have been free since the one before, as far as there is credit: the heap has it
//     from growing, and bit by bit from operations (sweep.go). Before the data grows beyond what
//     it ever was, free spans give back as many pages as it grows by (trade.go). A program that uses
//     the same memory over and over keeps its pages (rounds.go, held.go).
//
// The figures in all that, how many and how often, are constants in the files named, with what
// they are for.
//
// # One operation of a Shared
//
// s.Malloc(40) in one goroutine, and s.Free of the block in another:
//
//  1. Where the goroutine's stack is says whether it has a claim. If so, it has one or
//     two runs of the class for itself, and a word with the slots at hand of each:
//     the lowest slot of the first is taken by a plain write. That is all.
//  2. Without a claim, the address of the stack chooses a shard, one of four for each
//     processor. The shard has a word for each class: the number of a run, and 32
//     bits for slots of it at hand. A compare-and-swap takes the lowest one. As run
//     and slots change together, it does not matter who else has done so meanwhile;
//     a goroutine that loses twice moves on to another shard. One that has come eight
//     times for more slots gets a claim, if one of the four for each processor is
//     free or idle.
//  3. When no slot is at hand, those that have been freed in the run are lent to
//     the shard: their bits are set in the run's own word, all at once, and put
//     into the shard's. When there are none, the shard's mutex is taken: for
//     the run with the most room among the oldest few on the shard's list; for half
//     of the list of a shard that has four or more; for a new run from the
//     best-fit space, which is a Heap behind one mutex.
//  4. Free finds run and slot as a Heap does. The run's word has the class and 49
//     bits for slots: that the slot's bit is set, and that it is not at hand
//     somewhere, makes b a live block, and a compare-and-swap of the word clears
//     the bit. Of two frees of one block one fails to, and finds the bit clear.
//     Nobody else is told: the owner finds the slot when it needs one. That it is not
//     at hand, a word beside the run's says; only of slots lent lately the owner's own
//     word has to. If the goroutine's own claim has the run at hand, and has lent the
//     slot, it sets the slot's bit in its own word instead, by a plain write; others
//     who free such a slot put an end to this for all that are in use (bias.go).
//  5. A free that found the run full puts it on its owner's list; one that left
//     it empty gives half of the shard's empty runs back if they are more than eight
//     and a quarter of its runs.
//  6. With each new run, and each 64th refill, a shard looks after another one:
//     from one that has not been asked for a run since the last look it takes
//     all that has room, and the claim. Besides, a timer looks at all shards and open handles
//     once a second, for as long as that finds something to do: claims of idle ones end, their
//     empty runs and stocks go to the best-fit space, and the pages back to the system
//     (shared_look.go). So an idle shard keeps nothing, whether others work or nobody
//     does; [Shared.Trim] is for who cannot wait for some seconds.
//
// s.Malloc(5000) has no class. The size is rounded up to one of eight for each doubling, 5120; a goroutine
// that has a claim takes the span that it has freed last of that size from its stock, and others
// take the lock, as it does if it has none. Free finds the word of the span, which says that it is
// live and how large; a compare-and-swap says that it is not, and the span goes to the stock. That
// holds 128 KiB at first, and twice as much if it gives up spans that are missed soon after, up
// to 2 MiB and what is in use, twice that for all stocks together, or to its share of a quarter of
// what is in use; all stocks hold an eighth of a small region or limit at most. What one has no room
// for goes to the best-fit space several spans at a time. Blocks of more than 256 KiB take the lock
// each time.
//
// There are claims on amd64 under Linux, with Go releases whose stacks are known
// (stacks_known.go). A [Handle] is one for which the caller says that no two goroutines use it at a
// time: it takes slots by plain writes on all systems, and on amd64 under Linux it frees by them,
// too. It has a stock on all.
//
// # The memory picture
//
// Everything is in the region and refers to itself by offsets:
//
//	0        page        2 B a unit      8 B a unit      first            top         end
//	├────────┼───────────┼───────────────┼───────────────┼────────────────┼───────────┤
//	│ header │ kinds     │ rows          │ …             │ spans and runs │ untouched │
//	└────────┴───────────┴───────────────┴───────────────┴────────────────┴───────────┘
//
//	row of a run     a bit for each slot, set while it is live; the row after it: the links
//	                 of partial runs
//	row of spans     bound │ live │ place, four bits for each 64 bytes, in which one span starts
//	                 at most:
//
//	    ├─── 64 bytes ──┼─── 64 bytes ──┼─── 64 bytes ──┼─── 64 bytes ──┼ …
//	            ▲                       ▲                   ▲
//	        1 1  2          none        1 0  0          0 1  1
//	        used, from the              free, from      in a quick list,
//	        third granule on            the first on    from the second on
//
// A [Shared] has a table more, of 16 bytes a unit, with words of its runs and spans that say themselves
// what they are, and what only it knows, the shards, lies on the Go heap:
//
//	span    101 │ live │ size │ start
//	word    111 │ class │ held │ bias │ frees modulo 16 │ 49 slots
//	next    111 │ 0 │ lends modulo 64 │ 49 slots that may be at hand or biased
//	bound   111 │ class │ on its owner's list │ owner
//
//	shard          a word for each class:  run │ 32 slots at hand     lists of runs with room
//	handle, claim  words for each class:   slots at hand, biased      lists of runs with room
//	               buckets of spans that it has freed
//
// Blocks have no headers and are multiples of 16 bytes, or take 8. The tables cost 10 bytes for each
// 1024 of data, those of a Shared 26, touched only where there are blocks. What a user's
// stray write can reach are the links inside small free spans, and those of runs of 16-byte
// slots, which lie where a 64th slot would be; they are followed only to spans that the rows
// call free, or to runs, that point back. What the header says the Heap has once more on the Go
// heap, and goes by that.
//
// # Limits and caveats
//
// Views die with their block and with Close; in mode Fast, touching one later may
// read another block or end the process. What the other modes find of it, and
// when:
//
//	                     Checked                            Guarded, of a guarded block
//	write past the end   at Free, Realloc, Check, Close     at once, beyond the alignment
//	write before         the same                           the same; at once with Front
//	write after free     when the memory is used again,     at once
//	                     at Check, Close
//	read after free      never; it reads poison             at once
//	second free          exactly, while in quarantine       exactly, while addresses last
//	use after Close      at once, in a region of its own    the same
//
// A damaged block stays live, and faults at each Free; a heap goes on after
// that. Detection is exact and by address: a stale view of
// an address that was handed out again is the new block. What was freed and
// joined with its neighbours is reported as a double free wherever it is
// touched, at any multiple of 16, or of 8 where the heap has blocks of 8. Damage that is proven, by an operation or by Check, makes the
// heap refuse all further work with [alloc.ErrCorrupt]; a Realloc that finds some while it cuts off
// the end of a block may have cleared or poisoned that already.
//
// A Shared holds a run of up to 49 slots or 32 KiB for each shard and class in use,
// two for each claim or handle, of which pages that were never touched are not
// resident; all its classes have runs from the first block on, since spans of less than
// 1 KiB would take the lock. Larger ones, of up to 256 KiB, are rounded up by 1/8 at most.
// Small programs are tighter in a Heap. A goroutine that calls from depths of its
// stack that are more than 2 KiB apart is taken for several; a block that passes from
// one to another costs a compare-and-swap. Its check-and-free of a slot is exact
// like a Heap's, except that a goroutine which frees a block twice can be
// overtaken, between looking and freeing, by a multiple of 16 other frees that
// leave the run's word as it was: then it has freed whatever the slot is now.
// Damage that a stray write does to the word of a run or of a span is found by Check.
//
// Blocks move in Realloc and [Heap.Compact] only. A cache that is full, and whose values
// become ten times as large, wastes 40 % of the memory at the worst moment if they stay; in
// simulations no choice of places wasted less than 35 %, and to map pages with disjoint
// blocks to one frame (Powers et al.: Mesh, PLDI 2019) left 30 %, as few such pages are
// disjoint. Moving as much as 7 % of what is allocated leaves 21 %. A Shared cannot do it.
//
// The first Malloc after a long row of frees joins up to 2048 spans, which takes up to a
// third of a millisecond; so does a Free that finds 2048 waiting. Before a heap grows to near
// its peak it joins all that its quick lists hold, which after a long time is up to 5600 spans,
// and up to 4096 empty runs, in one to four milliseconds; one that is calm takes a larger span
// out of them, as long as there is one.
//
// The heap uses at most 16 TiB; runs lie in its first 4 TiB, in a Shared in its first 1 TiB.
// Words are in the byte order of the machine. In mode Fast Stats().Requested
// equals Live, since the sizes asked for are not kept.
//
// # Concurrency
//
// A Heap is not safe for concurrent use, nor is a Handle; a Shared is. With the
// race detector, and on systems other than Linux on amd64, there are no claims, and
// handles free by compare-and-swap. [Shared.Blocks], [Shared.Check] and [Shared.Stats] hold all
// locks, but Malloc and Free mostly need none: their figures are exact when nobody
// else is at work. Mappings are
// private: a child process that is made by fork and exec inherits none of it. A
// file that a heap lies in is shared with whoever maps it, and not locked.
//
// # Sources
//
// Wilson, Johnstone, Neely, Boles: Dynamic storage allocation, a survey and
// critical review (1995), for fits, orders and deferred coalescing. Masmano et
// al.: TLSF (ECRTS 2004), for bins with two levels of bitmaps. Bonwick: The slab
// allocator (USENIX 1994), for runs. Evans: A scalable concurrent malloc(3)
// (BSDCan 2006), for bitmaps of slots out of line. Perens: Electric Fence (1987),
// for guard pages; Serebryany et al.: AddressSanitizer (USENIX ATC 2012), for
// poison and quarantine; Berger et al.: Hoard (ASPLOS 2000), and Leijen, Zorn,
// de Moura: Mimalloc (APLAS 2019), for shards and their lists; Dice, Huang, Yang:
// Asymmetric Dekker synchronization (2001); GWP-ASan (LLVM), for guarding a sample. Karlin et al.: Competitive
// snoopy caching (1988), for paying before one gives back.
package segregated
