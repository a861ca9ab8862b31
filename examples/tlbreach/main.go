// Command tlbreach walks through arrays with a stride, over and over, and shows
// what a TLB makes of it: how far it reaches (entries × page size), why a stride of
// many pages can miss in a TLB that is nearly empty, and what huge pages and a
// second level do about it.
package main

import (
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"os"
	"strings"

	"github.com/memlab-go/memlab/vm"
	"github.com/memlab-go/memlab/vm/tlb"
)

func main() {
	log.SetFlags(0)
	seed := flag.Uint64("seed", 1, "seed of the last part, which jumps at random")
	flag.Parse()
	if err := run(os.Stdout, *seed); err != nil {
		log.Fatal("tlbreach: ", err)
	}
}

// Sizes in bytes, and what the lessons are about.
const (
	kib    = 1 << 10
	mib    = 1 << 20
	page   = 4 * kib
	rounds = 20     // times that each array is walked through; the first is not counted
	spec   = "64x4" // 64 entries, 16 sets of 4 ways
	second = "64x4,1536x12"
)

func run(w io.Writer, seed uint64) error {
	for _, part := range []func(io.Writer) error{
		reach, strides, hugePages, levels,
		func(w io.Writer) error { return jumps(w, seed) },
	} {
		if err := part(w); err != nil {
			return err
		}
		fmt.Fprintln(w)
	}
	return nil
}

// missRatio walks through size bytes with a stride and returns the share of
// references that missed the first level, and of those that missed them all.
func missRatio(spec string, size, stride uint64, shift uint8) (first, all float64, err error) {
	refs := make([]tlb.Ref, 0, size/stride)
	for at := uint64(0); at < size; at += stride {
		refs = append(refs, tlb.MakeRef(vm.VirtAddr(at), false))
	}
	return measure(spec, refs, shift)
}

// measure runs references several times and leaves the first time out.
func measure(spec string, refs []tlb.Ref, shift uint8) (first, all float64, err error) {
	conf, err := tlb.ParseSpec(spec)
	if err != nil {
		return 0, 0, err
	}
	t, err := tlb.New(conf)
	if err != nil {
		return 0, 0, err
	}
	t.Run(1, refs, shift)
	t.ResetStats()
	for range rounds {
		t.Run(1, refs, shift)
	}
	s := t.Stats()
	n := float64(s.Refs())
	return float64(s.Levels[0].Misses()) / n, float64(s.Walks) / n, nil
}

// bar draws a share.
func bar(share float64) string {
	const width = 30
	full := int(share*width + 0.5)
	return fmt.Sprintf("%s%s %3.0f %%", strings.Repeat("█", full), strings.Repeat("·", width-full), 100*share)
}

// reach: one reference a page, arrays around the size that the TLB covers.
func reach(w io.Writer) error {
	fmt.Fprintf(w, "A TLB of 64 entries (16 sets of 4 ways, LRU) and pages of 4 KiB reaches 64 × 4 KiB = 256 KiB.\n")
	fmt.Fprintf(w, "One reference a page, through arrays of growing size, again and again:\n\n")
	for _, size := range []uint64{128 * kib, 256 * kib, 260 * kib, 288 * kib, 320 * kib, 512 * kib} {
		m, _, err := missRatio(spec, size, page, 12)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "  %4d KiB %4d pages  %s\n", size/kib, size/page, bar(m))
	}
	fmt.Fprintf(w, "\nOne page too many: its set now has 5 pages for 4 ways, and LRU always evicts the one\n")
	fmt.Fprintf(w, "needed next, so all 5 miss. With 16 pages too many, one in every set, nothing hits any more.\n")
	return nil
}

// strides: the same number of pages, at growing distances.
func strides(w io.Writer) error {
	fmt.Fprintf(w, "32 pages only, half of what the TLB holds, at growing distances:\n\n")
	for _, pages := range []uint64{1, 2, 4, 8, 16, 15, 17} {
		m, _, err := missRatio(spec, 32*pages*page, pages*page, 12)
		if err != nil {
			return err
		}
		sets := map[uint64]bool{}
		for i := range uint64(32) {
			sets[i*pages%16] = true
		}
		fmt.Fprintf(w, "  every %2d pages: %2d sets used  %s\n", pages, len(sets), bar(m))
	}
	fmt.Fprintf(w, "\nThe set is the page number modulo 16: a stride of 4, 8 or 16 pages leaves most sets empty\n")
	fmt.Fprintf(w, "and piles 32 pages into the others. Odd strides use all 16. (Matrices whose rows are a power of two long suffer so.)\n")
	return nil
}

// hugePages: the same array under larger pages.
func hugePages(w io.Writer) error {
	fmt.Fprintf(w, "An array of 64 MiB, a reference every 4 KiB, with pages of 4 KiB, 64 KiB and 2 MiB:\n\n")
	for _, p := range []struct {
		shift uint8
		name  string
	}{{12, "4 KiB"}, {16, "64 KiB"}, {21, "2 MiB"}} {
		m, _, err := missRatio(spec, 64*mib, page, p.shift)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "  %6s: reach %9d KiB  %s\n", p.name, 64<<p.shift/kib, bar(m))
	}
	fmt.Fprintf(w, "\nWith 64 KiB one walk serves 16 references; with 2 MiB the whole array is within reach.\n")
	return nil
}

// levels: a second level behind the first.
func levels(w io.Writer) error {
	fmt.Fprintf(w, "A second level of 1536 entries (6 MiB) behind the first; what still walks the page table:\n\n")
	for _, size := range []uint64{256 * kib, 1 * mib, 6 * mib, 7 * mib, 12 * mib} {
		m, all, err := missRatio(second, size, page, 12)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "  %5d KiB  miss level 1 %s\n             walk         %s\n", size/kib, bar(m), bar(all))
	}
	return nil
}

// jumps: random references, where LRU has no worst case.
func jumps(w io.Writer, seed uint64) error {
	fmt.Fprintf(w, "Random references instead of a stride: no cliff, just the share of pages out of reach.\n\n")
	rnd := rand.New(rand.NewPCG(seed, 0))
	for _, pages := range []int{64, 96, 128, 256} {
		refs := make([]tlb.Ref, 50_000)
		for i := range refs {
			refs[i] = tlb.MakeRef(vm.VirtAddr(rnd.IntN(pages))*page, false)
		}
		m, _, err := measure(spec, refs, 12)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "  %3d pages  %s   (1 - 64/%d = %.0f %%)\n", pages, bar(m), pages, 100*(1-64/float64(pages)))
	}
	return nil
}
