package peers

import (
	"errors"
	"math/bits"

	"modernc.org/memory"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/bench/replay"
)

// goPeers lists the allocators behind Go's interface.
func goPeers() []Peer {
	known := replay.Known()
	entry := func(name string) *replay.Entry {
		e, err := replay.Find(known, name)
		if err != nil {
			return nil
		}
		return &e[0]
	}
	out := []Peer{
		{Name: "segregated", Go: entry("segregated")},
		{Name: "shared", Go: entry("shared"), Shared: sharedSegregated},
		{Name: "handle", Go: entry("handle"), Shared: handles},
		{Name: "go", Go: entry("go"), Shared: func() (*crowd, error) {
			h, err := entry("go").New(replay.Config{})
			return all(h), err
		}},
		{Name: "modernc", Go: &replay.Entry{Name: "modernc", About: "modernc.org/memory", Align: 16, New: newModernc}, Shared: func() (*crowd, error) {
			return all(alloc.Locked(&modernc{})), nil
		}},
	}
	return append(out, cgoPeers()...)
}

// modernc puts modernc.org/memory behind alloc.Allocator.
type modernc struct{ a memory.Allocator }

func newModernc(replay.Config) (replay.Heap, error) { return &modernc{}, nil }

var errSize = errors.New("peers: bad size")

// Malloc returns a block. The library has none of no bytes: such a block is one
// byte long, seen as empty.
func (m *modernc) Malloc(size int) ([]byte, error) {
	if size <= 0 {
		if size < 0 {
			return nil, errSize
		}
		b, err := m.a.Malloc(1)
		return b[:0:0], err
	}
	b, err := m.a.Malloc(size)
	return b[:size:size], err
}

// Calloc returns a zeroed block.
func (m *modernc) Calloc(count, size int) ([]byte, error) {
	hi, lo := bits.Mul(uint(max(count, 0)), uint(max(size, 0)))
	if count < 0 || size < 0 || hi != 0 || int(lo) < 0 {
		return nil, errSize
	}
	if lo == 0 {
		return m.Malloc(0)
	}
	b, err := m.a.Calloc(int(lo))
	return b[:lo:lo], err
}

// Realloc changes the size of b.
func (m *modernc) Realloc(b []byte, size int) ([]byte, error) {
	if b == nil {
		return m.Malloc(size)
	}
	if size == 0 {
		m.Free(b)
		return nil, nil
	}
	if len(b) == 0 {
		m.Free(b)
		return m.Malloc(size)
	}
	nb, err := m.a.Realloc(b, size)
	return nb[:size:size], err
}

// Free takes b back. The library finds the block by its address.
func (m *modernc) Free(b []byte) {
	if b == nil {
		return
	}
	if err := freeAt(&m.a, b); err != nil {
		panic(err)
	}
}

// Close releases everything.
func (m *modernc) Close() error { return m.a.Close() }
