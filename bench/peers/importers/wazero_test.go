package importers

import (
	"context"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/memlab-go/memlab/arena"
)

// linearMemory is a WebAssembly memory in a region: it never moves, and only
// what it has grown to is committed.
type linearMemory struct {
	r         *arena.Region
	committed int
	failed    error
}

func (m *linearMemory) Reallocate(size uint64) []byte {
	if n := int(size) - m.committed; n > 0 {
		if err := m.r.Commit(arena.Offset(m.committed), n); err != nil {
			m.failed = err
			return nil // memory.grow then yields -1
		}
		m.committed = int(size)
	}
	return m.r.Bytes()[:size:m.r.Size()]
}

func (m *linearMemory) Free() { m.failed = m.r.Close() }

// module exports a memory of 1 to 64 pages and grow(n), which is memory.grow:
//
//	(module
//	  (memory (export "mem") 1 64)
//	  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0))))
var module = []byte{
	0, 'a', 's', 'm', 1, 0, 0, 0,
	1, 6, 1, 0x60, 1, 0x7f, 1, 0x7f, // type
	3, 2, 1, 0, // function
	5, 4, 1, 1, 1, 64, // memory
	7, 14, 2, 3, 'm', 'e', 'm', 2, 0, 4, 'g', 'r', 'o', 'w', 0, 0, // exports
	10, 8, 1, 6, 0, 0x20, 0, 0x40, 0, 0x0b, // code
}

func TestWazero(t *testing.T) {
	var m *linearMemory
	allocator := experimental.MemoryAllocatorFunc(func(_, most uint64) experimental.LinearMemory {
		r, err := arena.Reserve(int(most), nil)
		if err != nil {
			t.Error(err)
			return nil
		}
		m = &linearMemory{r: r}
		return m
	})
	ctx := experimental.WithMemoryAllocator(context.Background(), allocator)
	rt := wazero.NewRuntime(ctx)
	mod, err := rt.Instantiate(ctx, module)
	if err != nil {
		t.Fatal(err)
	}
	mem := mod.Memory()
	mem.WriteUint32Le(100, 0xdecade)
	view, _ := mem.Read(0, 1<<16)
	for _, step := range []struct{ by, want uint64 }{{3, 1}, {20, 4}, {100, 0xffffffff}, {40, 24}} {
		got, err := mod.ExportedFunction("grow").Call(ctx, step.by)
		if err != nil || got[0] != step.want {
			t.Errorf("grow(%d) = %v, %v, want %d", step.by, got, err, step.want)
		}
	}
	if v, ok := mem.ReadUint32Le(100); !ok || v != 0xdecade || view[100] != 0xde {
		t.Errorf("after growing: %#x, and %#x through the old view", v, view[100])
	}
	if m.committed != 64<<16 || m.failed != nil {
		t.Errorf("%d bytes committed, %v", m.committed, m.failed)
	}
	if err := rt.Close(ctx); err != nil {
		t.Error(err)
	}
	if m.r.Bytes() != nil || m.failed != nil {
		t.Errorf("the region is still open: %v", m.failed)
	}
}
