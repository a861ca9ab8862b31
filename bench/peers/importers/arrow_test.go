package importers

import (
	"fmt"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/alloc/fit"
	"github.com/memlab-go/memlab/alloc/segregated"
)

// alignedHeap is what alloc.Arrow wants, and can be closed.
type alignedHeap interface {
	alloc.Allocator
	alloc.Aligned
	alloc.Checker
	alloc.Statser
	Close() error
}

// arrowHeaps are the heaps that Arrow runs on, a Shared among them, which needs no lock around it.
var arrowHeaps = map[string]func() (alignedHeap, error){
	"segregated": func() (alignedHeap, error) { return segregated.New(nil, nil) },
	"shared":     func() (alignedHeap, error) { return segregated.NewShared(nil, nil) },
	"fit":        func() (alignedHeap, error) { return fit.New(nil, nil) },
	"tlsf":       func() (alignedHeap, error) { return fit.NewTLSF(nil, nil) },
	"buddy":      func() (alignedHeap, error) { return fit.NewBuddy(nil, nil) },
}

func TestArrow(t *testing.T) {
	for name, open := range arrowHeaps {
		t.Run(name, func(t *testing.T) {
			h, err := open()
			if err != nil {
				t.Fatal(err)
			}
			mem := alloc.Arrow(h)
			if name != "shared" {
				mem = alloc.Arrow(alloc.Locked(h))
			}
			checked := memory.NewCheckedAllocator(mem)
			useArrow(t, checked)
			checked.AssertSize(t, 0)
			if s := h.Stats(); s.LiveBlocks != 0 || s.Mallocs == 0 {
				t.Errorf("%d live blocks after %d mallocs", s.LiveBlocks, s.Mallocs)
			}
			if err := h.Check(); err != nil {
				t.Error(err)
			}
			if err := h.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// useArrow builds, slices and reads arrays of several types.
func useArrow(t *testing.T, mem memory.Allocator) {
	t.Helper()
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "id", Type: arrow.PrimitiveTypes.Int64},
		{Name: "name", Type: arrow.BinaryTypes.String, Nullable: true},
		{Name: "tags", Type: arrow.ListOf(arrow.PrimitiveTypes.Int32)},
	}, nil)
	b := array.NewRecordBuilder(mem, schema)
	defer b.Release()
	const rows = 5000
	for i := range rows {
		b.Field(0).(*array.Int64Builder).Append(int64(i))
		if i%7 == 0 {
			b.Field(1).AppendNull()
		} else {
			b.Field(1).(*array.StringBuilder).Append(fmt.Sprintf("row %d", i))
		}
		l := b.Field(2).(*array.ListBuilder)
		l.Append(true)
		for k := range i % 4 {
			l.ValueBuilder().(*array.Int32Builder).Append(int32(k))
		}
	}
	rec := b.NewRecord()
	defer rec.Release()
	part := rec.NewSlice(1000, 2000)
	defer part.Release()
	ids, names := part.Column(0).(*array.Int64), part.Column(1).(*array.String)
	for i := range 1000 {
		want := 1000 + i
		if ids.Value(i) != int64(want) || names.IsNull(i) != (want%7 == 0) {
			t.Fatalf("row %d: id %d, null %v", want, ids.Value(i), names.IsNull(i))
		}
		if !names.IsNull(i) && names.Value(i) != fmt.Sprintf("row %d", want) {
			t.Fatalf("row %d: %q", want, names.Value(i))
		}
	}
	buf := memory.NewResizableBuffer(mem)
	defer buf.Release()
	for _, n := range []int{10, 1000, 5, 0, 300, 100000} {
		buf.Resize(n)
		if buf.Len() != n {
			t.Fatalf("Resize(%d): %d bytes", n, buf.Len())
		}
	}
}

func BenchmarkArrow(b *testing.B) {
	run := func(b *testing.B, mem memory.Allocator) {
		b.ReportAllocs()
		for b.Loop() {
			ib := array.NewInt64Builder(mem)
			for i := range 10000 {
				ib.Append(int64(i))
			}
			a := ib.NewArray()
			a.Release()
			ib.Release()
		}
	}
	b.Run("alloc=go", func(b *testing.B) { run(b, memory.NewGoAllocator()) })
	b.Run("alloc=segregated", func(b *testing.B) {
		h, err := segregated.New(nil, nil)
		if err != nil {
			b.Fatal(err)
		}
		defer h.Close()
		run(b, alloc.Arrow(h))
	})
}
