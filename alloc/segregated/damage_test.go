package segregated

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/arena"
)

// A patient is a heap in plain memory, with blocks of all kinds, that is about
// to be damaged.
type patient struct {
	h    *Heap
	mem  []byte
	live [][]byte
}

// newPatient returns one whose runs are partly used and whose bins have spans.
func newPatient(t testing.TB) *patient {
	mem := make([]byte, 512<<10+16)
	mem = mem[-addrOf(mem)&15:]
	h, err := New(arena.FromBytes(mem[:512<<10]), &Options{Classes: []int{32, 64}})
	require.NoError(t, err)
	p := &patient{h: h, mem: mem[:512<<10]}
	for i := range 150 {
		p.live = append(p.live, must(t, h, 20), must(t, h, 60))
		if i%3 == 0 {
			p.live = append(p.live, must(t, h, 100+i*8))
		}
	}
	for _, size := range []int{3072, 6000, 7000, 20000, 40000, 9000} {
		p.live = append(p.live, must(t, h, size), must(t, h, 48))
	}
	keep := p.live[:0]
	for i, b := range p.live {
		if i%3 == 0 || len(b) == 7000 || len(b) == 20000 {
			h.Free(b)
			continue
		}
		keep = append(keep, b)
	}
	p.live = keep
	h.flushQuick()
	require.NoError(t, h.Check())
	return p
}

// treat makes calls of every kind on the damaged heap. It returns an error that
// is no fault of the heap's own words, if there is one, and whether it noticed.
func (p *patient) treat(rng *rand.Rand) (noticed bool, err error) {
	took := time.Now()
	note := func(e error) {
		var fault *alloc.Fault
		var nm *alloc.NoMemoryError
		switch {
		case e == nil:
		case errors.Is(e, alloc.ErrCorrupt), errors.Is(e, alloc.ErrInvalidFree), errors.Is(e, alloc.ErrDoubleFree):
			noticed = true
		case errors.As(e, &fault), errors.As(e, &nm):
		default:
			noticed = true // Check's findings have no type of their own
		}
	}
	call := func(f func() error) {
		defer func() {
			r := recover()
			if r == nil {
				return
			}
			fault, ok := r.(*alloc.Fault)
			if !ok {
				err = fmt.Errorf("a call panicked with %v", r)
				return
			}
			note(fault)
		}()
		note(f())
	}
	call(p.h.Check)
	for range 40 {
		size := rng.IntN(1 << rng.IntN(15))
		var b []byte
		if len(p.live) > 0 {
			b = p.live[rng.IntN(len(p.live))]
		}
		call(func() error { _, e := p.h.Malloc(size); return e })
		call(func() error { _, e := p.h.Calloc(1, size); return e })
		call(func() error { _, e := p.h.MallocAligned(size, 16<<rng.IntN(9)); return e })
		call(func() error { _, e := p.h.Realloc(b, size); return e })
		if len(p.live) > 0 {
			i := rng.IntN(len(p.live))
			call(func() error { p.h.Free(p.live[i]); return nil })
			p.live = append(p.live[:i], p.live[i+1:]...)
		}
	}
	call(func() error {
		_, e := p.h.Compact(len(p.mem), func(from, to []byte) bool { return len(from)%32 == 0 })
		return e
	})
	call(func() error { p.h.Trim(); p.h.Stats(); return nil })
	call(func() error {
		n := 0
		for range p.h.Blocks() {
			if n++; n > len(p.mem)/16 {
				return errors.New("Blocks does not end")
			}
		}
		return nil
	})
	call(p.h.Check)
	call(p.h.Close)
	if d := time.Since(took); d > 20*time.Second {
		err = fmt.Errorf("the calls took %v", d)
	}
	return noticed, err
}

// TestDamagedHeader sets every field of the header to each of some values that
// are wrong: no call may do worse than say so.
func TestDamagedHeader(t *testing.T) {
	extremes := []uint64{0, 1, 63, 1 << 12, 1 << 31, 1 << 32, 1 << 40, 1<<63 - 1, 1 << 63, ^uint64(0)}
	fields := map[string]func(h *header) *uint64{
		"first": func(h *header) *uint64 { return &h.first }, "end": func(h *header) *uint64 { return &h.end },
		"top": func(h *header) *uint64 { return &h.top }, "dirty": func(h *header) *uint64 { return &h.dirty },
		"highest": func(h *header) *uint64 { return &h.highest }, "commit": func(h *header) *uint64 { return &h.commit },
		"kindsEnd": func(h *header) *uint64 { return &h.kindsEnd }, "unitsEnd": func(h *header) *uint64 { return &h.unitsEnd },
		"size": func(h *header) *uint64 { return &h.size }, "magic": func(h *header) *uint64 { return &h.magic },
		"bin":      func(h *header) *uint64 { return &h.bins[10] },
		"last bin": func(h *header) *uint64 { return &h.bins[numBins-1] },
		"word set": func(h *header) *uint64 { return &h.wordSet },
		"bin set":  func(h *header) *uint64 { return &h.binSet[0] },
		"set end":  func(h *header) *uint64 { return &h.binSet[binWords-1] },
	}
	for name, field := range fields {
		for _, v := range extremes {
			p := newPatient(t)
			at := field(p.h.hdr)
			if *at == v {
				continue
			}
			*at = v
			_, err := p.treat(rand.New(rand.NewPCG(1, v)))
			require.NoError(t, err, "%s = %#x", name, v)
		}
	}
}

// TestDamagedCommit: a block at the top does not grow past the end of the region, and
// nothing that lies there by the header's word is written.
func TestDamagedCommit(t *testing.T) {
	for _, commit := range []uint64{0, 1, 1 << 20, 1 << 40, 1 << 60, ^uint64(0)} {
		mem := make([]byte, 512<<10+16)
		mem = mem[-addrOf(mem)&15:]
		h, err := New(arena.FromBytes(mem[:512<<10]), &Options{Classes: []int{}})
		require.NoError(t, err)
		low := must(t, h, 100<<10)
		fill(low, 0)
		top := must(t, h, 8192)
		h.hdr.commit = commit
		err = alloc.Try(func() { _, err = h.Realloc(top, 500<<10) })
		var fault *alloc.Fault
		if err != nil && !errors.As(err, &fault) {
			require.ErrorIs(t, err, alloc.ErrNoMemory, "%#x", commit)
		}
		require.NoError(t, filled(low, 0), "%#x", commit)
	}
}

// TestDamagedEnd: what the header says of the end of the data does not lead a heap out of
// its region.
func TestDamagedEnd(t *testing.T) {
	for _, end := range []uint64{1 << 40, ^uint64(0), 0, 1 << 10} {
		h := fresh(t, 8<<20, nil)
		b := must(t, h, 100_000)
		h.hdr.end = end
		h.hdr.commit = max(h.hdr.commit, min(end, 1<<40))
		_, err := h.Malloc(h.region.Size() - 100_000)
		require.ErrorIs(t, err, alloc.ErrNoMemory, "end %#x", end)
		_, err = h.Realloc(b, h.region.Size()-50_000)
		require.ErrorIs(t, err, alloc.ErrNoMemory, "end %#x", end)
		_, err = h.MallocAligned(h.region.Size()-100_000, 256)
		require.ErrorIs(t, err, alloc.ErrNoMemory, "end %#x", end)
		require.ErrorContains(t, h.Check(), "L9:")
		h.fail("broken on purpose") // so that the end of the test does not check
	}
}

// TestDamagedDirty: nor does what it says of which pages are in use, word by word or both.
func TestDamagedDirty(t *testing.T) {
	for words := range 4 {
		h := fresh(t, 1<<20, nil)
		if words&1 != 0 {
			h.hdr.dirty = 1 << 40
		}
		if words&2 != 0 {
			h.hdr.commit = 1 << 40
		}
		n, err := 0, error(nil)
		for ; err == nil && n < 1<<20/3000; n++ {
			_, err = h.Malloc(3000)
		}
		require.Error(t, err, "words %b", words)
		h.fail("broken on purpose") // so that the end of the test does not check
	}
}

// TestDamagedBins: bits of bins that do not exist, or of words without any, lead nowhere.
func TestDamagedBins(t *testing.T) {
	const last = binWords - 1
	for _, bits := range []uint64{0, 1 << 60, 1 << 63} {
		for _, size := range []int{16, 3000, 200_000} {
			h := fresh(t, 8<<20, nil)
			must(t, h, 1000)
			h.hdr.binSet[last], h.hdr.wordSet = bits, h.hdr.wordSet|1<<last
			must(t, h, size)
			_, err := h.MallocAligned(size, 4096)
			require.NoError(t, err)
			h.fail("broken on purpose") // so that the end of the test does not check
		}
	}
}

// TestDamagedTables overwrites stretches of each table, and of the data with
// the links in it, with noise, ones and zeros.
func TestDamagedTables(t *testing.T) {
	rounds := 150
	if *long {
		rounds = 20_000
	}
	noticed := 0
	for round := range rounds {
		p := newPatient(t)
		rng := rand.New(rand.NewPCG(2, uint64(round)))
		of := p.h.tables()
		k, u, data := of.kinds, of.units, of.data
		top := p.h.hdr.top << granuleShift
		tables := [][2]uint64{{0, headerSize}, {k + data>>unitShift*kindSize, k + top>>unitShift*kindSize},
			{u + data>>unitShift*unitRow, u + top>>unitShift*unitRow}, {data, top}}
		in := tables[round%len(tables)]
		at := in[0] + rng.Uint64N(in[1]-in[0])
		part := p.mem[at:min(in[1], at+1+rng.Uint64N(64))]
		for i := range part {
			switch round % 3 {
			case 0:
				part[i] = byte(rng.Uint32())
			case 1:
				part[i] = 0xFF
			default:
				part[i] = 0
			}
		}
		saw, err := p.treat(rng)
		require.NoError(t, err, "round %d: %d bytes at %#x", round, len(part), at)
		if saw {
			noticed++
		}
	}
	require.Greater(t, noticed, rounds/3)
}

// TestDamagedWhileUsed flips one bit after another between calls: the heap goes
// on, or refuses, but never loses its way.
func TestDamagedWhileUsed(t *testing.T) {
	heaps := 40
	if *long {
		heaps = 5000
	}
	for seed := range heaps {
		p := newPatient(t)
		rng := rand.New(rand.NewPCG(3, uint64(seed)))
		for flip := range 8 {
			at := rng.IntN(len(p.mem))
			if flip%2 == 0 {
				at = rng.IntN(int(p.h.hdr.first << granuleShift % uint64(len(p.mem))))
			}
			p.mem[at] ^= 1 << rng.IntN(8)
			err := alloc.Try(func() {
				for range 5 {
					b, err := p.h.Malloc(rng.IntN(3000))
					if err == nil {
						p.live = append(p.live, b)
					}
					i := rng.IntN(len(p.live))
					p.h.Free(p.live[i])
					p.live = append(p.live[:i], p.live[i+1:]...)
				}
			})
			var re runtime.Error
			require.False(t, errors.As(err, &re), "seed %d, flip %d: %v", seed, flip, err)
			if p.h.err != nil || p.h.hdr.first != metaFirst(p.h) {
				break
			}
		}
		_, err := p.treat(rng)
		require.NoError(t, err, "seed %d", seed)
	}
}

// metaFirst is where the data of h has to begin, in granules.
func metaFirst(h *Heap) uint64 {
	return h.tables().data >> granuleShift
}

// TestStickyFault: once damage is proven every call is refused with the same
// words, no block is handed out, and Close closes all the same.
func TestStickyFault(t *testing.T) {
	p := newPatient(t)
	b := p.live[0]
	p.h.hdr.top += 64
	var first error
	for range 1000 {
		if _, err := p.h.Malloc(5000); err != nil {
			first = err
			break
		}
	}
	require.ErrorIs(t, first, alloc.ErrCorrupt)
	require.ErrorContains(t, first, "top")
	for range 3 {
		for name, call := range verbs(p.h, b) {
			require.ErrorIs(t, call(), alloc.ErrCorrupt, name)
		}
		require.Equal(t, first, p.h.Check())
		require.Zero(t, p.h.Trim())
	}
	_ = p.h.Close()
	_, err := p.h.Malloc(1)
	require.ErrorIs(t, err, alloc.ErrClosed)
}

// TestWriteAfterFree: what a program writes into memory that it has freed are
// the links of small free spans. They are not believed: no block is handed out
// twice, and no other memory is written.
func TestWriteAfterFree(t *testing.T) {
	rounds := 200
	if *long {
		rounds = 20_000
	}
	for seed := range rounds {
		rng := rand.New(rand.NewPCG(4, uint64(seed)))
		h := fresh(t, 256<<10, &Options{Classes: []int{}})
		var live, dead [][]byte
		for i := range 60 {
			b := must(t, h, 16+rng.IntN(2500))
			fill(b, byte(i))
			live = append(live, b)
		}
		keep := map[uintptr]byte{}
		for i, b := range live {
			if i%2 == 0 {
				h.Free(b)
				dead = append(dead, b)
			} else {
				keep[addrOf(b)] = byte(i)
			}
		}
		h.flushQuick()
		for range 1 + rng.IntN(4) {
			b := dead[rng.IntN(len(dead))]
			for i := range min(16, len(b)) {
				b[i] = byte(rng.Uint32()) & 0x3F
			}
		}
		err := alloc.Try(func() {
			for range 80 {
				b, err := h.Malloc(rng.IntN(2500))
				if err != nil {
					return
				}
				for i, l := range live {
					if i%2 == 1 && addrOf(b) < addrOf(l)+uintptr(len(l)) && addrOf(l) < addrOf(b)+uintptr(len(b)) {
						t.Fatalf("seed %d: a live block was handed out again", seed)
					}
				}
			}
		})
		if err != nil {
			require.ErrorIs(t, err, alloc.ErrCorrupt, "seed %d", seed)
		}
		for i, b := range live {
			if i%2 == 1 {
				require.NoError(t, filled(b, keep[addrOf(b)]), "seed %d: a live block was written", seed)
			}
		}
		h.fail("broken on purpose")
	}
}
