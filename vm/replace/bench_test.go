package replace

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/vm"
)

// BenchmarkRun measures every policy on a real trace, numbered before.
func BenchmarkRun(b *testing.B) {
	refs, _ := loadTrace(b, "perl-pages.vmt.gz")
	fut, err := NewFuture(refs)
	require.NoError(b, err)
	for _, info := range Catalog() {
		if info.Compat {
			continue
		}
		for _, frames := range []int{64, 256} {
			b.Run(fmt.Sprintf("policy=%s/frames=%d", info.Name, frames), func(b *testing.B) {
				var misses int64
				for b.Loop() {
					p, err := New(info.Name, Config{Frames: frames, Future: fut})
					require.NoError(b, err)
					s := NewSim(p, frames)
					require.NoError(b, s.Run(refs))
					misses = s.Counts().Misses
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(refs)), "ns/ref")
				b.ReportMetric(100*float64(misses)/float64(len(refs)), "miss-%")
			})
		}
	}
}

// BenchmarkCurve measures the one-pass curves and the numbering.
func BenchmarkCurve(b *testing.B) {
	refs, pages := loadTrace(b, "perl-pages.vmt.gz")
	perRef := func(b *testing.B) {
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(refs)), "ns/ref")
	}
	b.Run("of=LRU", func(b *testing.B) {
		for b.Loop() {
			NewLRUCurve().Add(refs)
		}
		perRef(b)
	})
	b.Run("of=OPT", func(b *testing.B) {
		for b.Loop() {
			NewOPTCurve().Add(refs)
		}
		perRef(b)
	})
	accs, out := make([]Access, len(refs)), make([]Ref, len(refs))
	for i, r := range refs {
		accs[i] = MakeAccess(pages.Page(r.Page()), r.Write())
	}
	b.Run("of=numbering", func(b *testing.B) {
		for b.Loop() {
			var p Pages
			p.Refs(accs, out)
		}
		perRef(b)
	})
}

// BenchmarkOPTCurve shows how the curve of OPT grows with the number of pages, which
// a zipf trace goes to.
func BenchmarkOPTCurve(b *testing.B) {
	for _, pages := range []int{1 << 10, 1 << 12, 1 << 14, 1 << 16} {
		rng := rand.New(rand.NewPCG(1, uint64(pages)))
		zipf := rand.NewZipf(rng, 1.05, 4, uint64(pages-1))
		refs := make([]Ref, 1<<21)
		for i := range refs {
			refs[i] = MakeRef(vm.PageID(zipf.Uint64()), false)
		}
		b.Run(fmt.Sprintf("pages=%d", pages), func(b *testing.B) {
			for b.Loop() {
				NewOPTCurve().Add(refs)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(refs)), "ns/ref")
		})
	}
}
