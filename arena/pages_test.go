package arena

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// TestPagesOfARange compares the page arithmetic with a look at every byte.
func TestPagesOfARange(t *testing.T) {
	const page = 16
	rapid.Check(t, func(t *rapid.T) {
		r := &Region{size: rapid.IntRange(1, 6*page).Draw(t, "size"), page: page}
		off := rapid.IntRange(0, r.size-1).Draw(t, "off")
		size := rapid.IntRange(1, r.size-off).Draw(t, "n")
		aroundLo, aroundHi := r.pagesAround(Offset(off), size)
		insideLo, insideHi := r.pagesInside(Offset(off), size)
		cut := false // the range covers a page in part
		for p := int64(0); p < r.pages(); p++ {
			touched, whole := false, true
			for i := int(p) * page; i < min(int(p+1)*page, r.size); i++ {
				in := off <= i && i < off+size
				touched, whole = touched || in, whole && in
			}
			cut = cut || touched && !whole
			if got := aroundLo <= p && p < aroundHi; got != touched {
				t.Fatalf("page %d: around = %v, want %v", p, got, touched)
			}
			if got := insideLo <= p && p < insideHi; got != whole {
				t.Fatalf("page %d: inside = %v, want %v", p, got, whole)
			}
		}
		if got := r.aligned(Offset(off), size); got == cut {
			t.Fatalf("aligned = %v", got)
		}
		if last := (r.size - 1) / page; r.pages() != int64(last)+1 {
			t.Fatalf("%d pages, the last of which is %d", r.pages(), last)
		}
	})
}

// TestEdgesModel compares the running count of places where open pages meet
// closed ones, which is what mappings are spent on, with a count from scratch.
func TestEdgesModel(t *testing.T) {
	const pages = 12
	for _, eager := range []bool{true, false} {
		t.Run(fmt.Sprintf("eager=%v", eager), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				m := &mapped{r: &Region{size: pages * 16, page: 16}, eager: eager, flip: newPageSet(pages)}
				var open [pages]bool
				for p := range open {
					open[p] = eager
				}
				for range rapid.IntRange(1, 20).Draw(t, "steps") {
					lo := rapid.IntRange(0, pages-1).Draw(t, "lo")
					hi := rapid.IntRange(lo+1, pages).Draw(t, "hi")
					to := rapid.Bool().Draw(t, "open")
					m.setOpen(int64(lo), int64(hi), to)
					edges := 0
					for p := range open {
						if lo <= p && p < hi {
							open[p] = to
						}
						if p > 0 && open[p] != open[p-1] {
							edges++
						}
					}
					if m.edges != edges {
						t.Fatalf("after setOpen(%d, %d, %v): %d edges, want %d", lo, hi, to, m.edges, edges)
					}
				}
			})
		})
	}
}

// TestPageSetRunsModel rebuilds a set from its runs: in and out alternate, each
// as long as it can be, and together they are the range that was asked for.
func TestPageSetRunsModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const base = leafPages - 100 // the window has the end of a leaf in it
		s := newPageSet(2 * leafPages)
		var in [200]bool
		for range rapid.IntRange(0, 12).Draw(t, "changes") {
			a := rapid.IntRange(0, 199).Draw(t, "a")
			b := rapid.IntRange(a, 200).Draw(t, "b")
			set := rapid.Bool().Draw(t, "set")
			s.change(base+int64(a), base+int64(b), set)
			for i := a; i < b; i++ {
				in[i] = set
			}
		}
		a := rapid.IntRange(0, 199).Draw(t, "from")
		b := rapid.IntRange(a, 200).Draw(t, "to")
		var got [200]int // how often each page was named: +1 in, -1 out
		for _, want := range []bool{true, false} {
			last := int64(-1)
			_ = s.runs(base+int64(a), base+int64(b), want, func(lo, hi int64) error {
				if lo >= hi || lo <= last {
					t.Fatalf("run [%d, %d) after one that ends at %d", lo, hi, last)
				}
				last = hi
				for p := lo; p < hi; p++ {
					got[p-base] += map[bool]int{true: 1, false: -1}[want]
				}
				return nil
			})
		}
		for i := range got {
			want := 0
			switch {
			case a <= i && i < b && in[i]:
				want = 1
			case a <= i && i < b:
				want = -1
			}
			if got[i] != want {
				t.Fatalf("page %d in [%d, %d): named %d, want %d", i, a, b, got[i], want)
			}
		}
	})
}
