//lint:file-ignore U1000 fields that only reflection looks at

package alloc_test

import (
	"testing"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/alloc/alloctest"
)

// What the pointer check costs for each call, and what For saves.
func BenchmarkNew(b *testing.B) {
	type record struct {
		A, B, C int64
		D       [4]struct{ X, Y float32 }
	}
	heap := alloctest.Reference(0)
	b.Run("api=New", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			p, _ := alloc.New[record](heap)
			alloc.Delete(heap, p)
		}
	})
	b.Run("api=For", func(b *testing.B) {
		b.ReportAllocs()
		records := alloc.For[record](heap)
		for b.Loop() {
			p, _ := records.New()
			records.Delete(p)
		}
	})
}

func BenchmarkLocked(b *testing.B) {
	heap := alloc.Locked(alloctest.Reference(0))
	b.ReportAllocs()
	for b.Loop() {
		p, _ := heap.Malloc(64)
		heap.Free(p)
	}
}
