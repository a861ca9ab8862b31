package arena

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestPageSetRanges(t *testing.T) {
	const n = 3 * midPages
	tests := []struct {
		name   string
		do     func(s *pageSet)
		want   int64
		in     []int64
		out    []int64
		firsts [2]int64 // nextIn(0), nextOut(0)
	}{
		{"empty", func(s *pageSet) {}, 0, nil, []int64{0, 1, n - 1}, [2]int64{n, 0}},
		{"one page", func(s *pageSet) { s.add(64, 65) }, 1, []int64{64}, []int64{63, 65}, [2]int64{64, 0}},
		{"a word", func(s *pageSet) { s.add(64, 128) }, 64, []int64{64, 127}, []int64{63, 128}, [2]int64{64, 0}},
		{"across words", func(s *pageSet) { s.add(60, 70) }, 10, []int64{60, 63, 64, 69}, []int64{59, 70}, [2]int64{60, 0}},
		{"a leaf", func(s *pageSet) { s.add(leafPages, 2*leafPages) }, leafPages,
			[]int64{leafPages, 2*leafPages - 1}, []int64{leafPages - 1, 2 * leafPages}, [2]int64{leafPages, 0}},
		{"across leaves", func(s *pageSet) { s.add(leafPages-1, leafPages+1) }, 2,
			[]int64{leafPages - 1, leafPages}, []int64{leafPages - 2, leafPages + 1}, [2]int64{leafPages - 1, 0}},
		{"across mids", func(s *pageSet) { s.add(midPages-1, 2*midPages+1) }, midPages + 2,
			[]int64{midPages - 1, midPages, 2 * midPages}, []int64{midPages - 2, 2*midPages + 1}, [2]int64{midPages - 1, 0}},
		{"everything", func(s *pageSet) { s.add(0, n) }, n, []int64{0, n - 1}, nil, [2]int64{0, n}},
		{"hole in a full leaf", func(s *pageSet) { s.add(0, leafPages); s.remove(10, 20) }, leafPages - 10,
			[]int64{9, 20, leafPages - 1}, []int64{10, 19}, [2]int64{0, 10}},
		{"hole in everything", func(s *pageSet) { s.add(0, n); s.remove(midPages+5, midPages+6) }, n - 1,
			[]int64{midPages + 4, midPages + 6}, []int64{midPages + 5}, [2]int64{0, midPages + 5}},
		{"filled page by page", func(s *pageSet) {
			for p := range int64(leafPages) {
				s.add(p, p+1)
			}
		}, leafPages, []int64{0, leafPages - 1}, []int64{leafPages}, [2]int64{0, leafPages}},
		{"in more leaves and groups than a mid has room for", func(s *pageSet) {
			for i := range int64(4) {
				s.add(i*groupLeaves*leafPages+7, i*groupLeaves*leafPages+9)
				s.add((i*groupLeaves+1)*leafPages, (i*groupLeaves+1)*leafPages+1)
			}
		}, 12, []int64{7, 8, leafPages, 3*groupLeaves*leafPages + 8, (3*groupLeaves + 1) * leafPages},
			[]int64{6, 9, leafPages + 1, 3*groupLeaves*leafPages + 9}, [2]int64{7, 0}},
		{"added twice", func(s *pageSet) { s.add(3, 9); s.add(5, 12) }, 9, []int64{3, 11}, []int64{2, 12}, [2]int64{3, 0}},
		{"removed from nothing", func(s *pageSet) { s.remove(0, n) }, 0, nil, []int64{0}, [2]int64{n, 0}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newPageSet(n)
			tt.do(&s)
			require.Equal(t, tt.want, s.count)
			require.Equal(t, tt.want, s.countIn(0, n))
			require.NoError(t, s.check(n))
			for _, p := range tt.in {
				require.True(t, s.has(p), "page %d", p)
			}
			for _, p := range tt.out {
				require.False(t, s.has(p), "page %d", p)
			}
			require.Equal(t, tt.firsts, [2]int64{s.nextIn(0, n), s.nextOut(0, n)})
		})
	}
}

// modelSpan is the number of pages that TestPageSetModel looks at, around a
// place where a mid ends.
const modelSpan = 3 * leafPages

// A pageModel is a set of the pages [base, base+modelSpan).
type pageModel struct {
	base int64
	in   [modelSpan]bool
}

// TestPageSetModel compares the set with a slice of bools. The positions are
// near the borders of words, leaves, groups and mids, where mistakes live.
func TestPageSetModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &pageModel{base: rapid.SampledFrom([]int64{0, (groupLeaves - 1) * leafPages, midPages - leafPages}).Draw(t, "window")}
		s := newPageSet(m.base + modelSpan)
		near := rapid.Custom(func(t *rapid.T) int64 {
			border := rapid.SampledFrom([]int64{0, 64, leafPages, 2 * leafPages, modelSpan}).Draw(t, "border")
			return max(0, min(modelSpan, border+rapid.Int64Range(-70, 70).Draw(t, "near")))
		})
		for range rapid.IntRange(1, 25).Draw(t, "steps") {
			a, b := near.Draw(t, "a"), near.Draw(t, "b")
			if a > b {
				a, b = b, a
			}
			set := rapid.Bool().Draw(t, "set")
			var want int64
			for i := a; i < b; i++ {
				if m.in[i] != set {
					m.in[i], want = set, want+1
				}
			}
			if got := s.change(m.base+a, m.base+b, set); got != want {
				t.Fatalf("change(%d, %d, %v) = %d, want %d", a, b, set, got, want)
			}
			a, b = near.Draw(t, "from"), near.Draw(t, "to")
			m.compare(t, &s, min(a, b), max(a, b))
		}
		if err := s.check(m.base + modelSpan); err != nil {
			t.Fatal(err)
		}
	})
}

// compare asks s about [a, b) of the window.
func (m *pageModel) compare(t *rapid.T, s *pageSet, a, b int64) {
	var count int64
	firstIn, firstOut := b, b
	for i := b - 1; i >= a; i-- {
		if m.in[i] {
			count, firstIn = count+1, i
		} else {
			firstOut = i
		}
		if s.has(m.base+i) != m.in[i] {
			t.Fatalf("has(%d) = %v", i, !m.in[i])
		}
	}
	if got := s.countIn(m.base+a, m.base+b); got != count {
		t.Fatalf("countIn(%d, %d) = %d, want %d", a, b, got, count)
	}
	if got := s.nextIn(m.base+a, m.base+b) - m.base; got != firstIn {
		t.Fatalf("nextIn(%d, %d) = %d, want %d", a, b, got, firstIn)
	}
	if got := s.nextOut(m.base+a, m.base+b) - m.base; got != firstOut {
		t.Fatalf("nextOut(%d, %d) = %d, want %d", a, b, got, firstOut)
	}
}

func TestPageSetRuns(t *testing.T) {
	s := newPageSet(midPages)
	s.add(2, 5)
	s.add(9, 10)
	s.add(100, leafPages+3)
	var got []string
	collect := func(lo, hi int64) error {
		got = append(got, fmt.Sprint(lo, "-", hi))
		return nil
	}
	require.NoError(t, s.runs(3, leafPages+2, true, collect))
	require.NoError(t, s.runs(0, 12, false, collect))
	require.Equal(t, []string{"3-5", "9-10", "100-4098", "0-2", "5-9", "10-12"}, got)

	stop := fmt.Errorf("stop")
	calls := 0
	require.Equal(t, stop, s.runs(0, 100, true, func(lo, hi int64) error { calls++; return stop }))
	require.Equal(t, 1, calls)
}

// TestPageSetCostsLittle holds the promise that a set is small where it is
// empty or full.
func TestPageSetCostsLittle(t *testing.T) {
	const pages = 1 << 28 // 2^40 bytes in pages of 4 KiB
	s := newPageSet(pages)
	s.add(0, pages)
	nodes := 0
	for _, m := range s.top {
		for i := range uint64(midLeaves) {
			if m.leaf(i) != nil {
				nodes++
			}
		}
	}
	require.Zero(t, nodes, "leaves of a full set")
	require.Equal(t, int64(pages), s.remove(0, pages))
	require.NoError(t, s.check(pages))
}

func BenchmarkPageSet(b *testing.B) {
	for _, pages := range []int64{1, 16, 256} {
		b.Run(fmt.Sprintf("pages=%d", pages), func(b *testing.B) {
			s := newPageSet(1 << 24)
			s.add(0, 100)
			for b.Loop() {
				s.countIn(1000, 1000+pages)
				s.add(1000, 1000+pages)
				s.remove(1000, 1000+pages)
			}
		})
	}
}
