package segregated

import (
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
)

// TestMisuse makes bad frees and reallocs of every kind, at random, in a heap
// in use: none may be silent, none may change anything.
func TestMisuse(t *testing.T) {
	for _, tc := range []struct {
		o      Options
		rounds int // ten million in all with -segregated.long
	}{
		{Options{}, 100_000},
		{Options{Mode: Checked, Seed: 1}, 30_000},
		{Options{Mode: Guarded, Seed: 1, Guard: GuardOptions{Every: 3, Mappings: 300}}, 10_000},
		{Options{ProfileRate: 1, Classes: []int{}}, 10_000},
	} {
		t.Run(tc.o.Mode.String(), func(t *testing.T) {
			if *long {
				tc.rounds *= 67
			}
			m := newMisuser(t, tc.o)
			for i := range tc.rounds {
				m.step()
				what, b := m.bad()
				if b == nil {
					continue
				}
				err := m.misuse(b)
				if err == nil {
					t.Fatalf("round %d: %s at %#x passed", i, what, addrOf(b)-addrOf(m.h.mem))
				}
				if err := m.misuse(b); err == nil {
					t.Fatalf("round %d: %s at %#x passed the second time", i, what, addrOf(b)-addrOf(m.h.mem))
				}
				m.caught[what]++
				if i%5000 == 0 {
					require.NoError(t, m.h.Check())
				}
			}
			require.NoError(t, m.h.Check())
			require.Equal(t, len(m.live), m.h.Stats().LiveBlocks)
			require.Len(t, m.caught, 8, "%v", m.caught)
		})
	}
}

// misuser keeps live blocks and the addresses of freed ones.
type misuser struct {
	t        *testing.T
	h, other *Heap
	rng      *rand.Rand
	live     [][]byte
	base     map[uintptr]bool // of live blocks
	dead     [][]byte         // freed
	moved    [][]byte         // left by Realloc
	foreign  []byte
	saved    []byte // what a stray write has overwritten
	caught   map[string]int
}

func newMisuser(t *testing.T, o Options) *misuser {
	m := &misuser{
		t: t, h: freshIn(t, 32<<20, backings(t)["mmap"], &o), other: fresh(t, 4<<20, nil),
		rng: rand.New(rand.NewPCG(7, 7)), base: map[uintptr]bool{}, caught: map[string]int{},
	}
	m.foreign = must(t, m.other, 100)
	return m
}

// misuse hands b to a call at random and returns the fault.
func (m *misuser) misuse(b []byte) error {
	return alloc.Try(func() {
		switch m.rng.IntN(4) {
		case 0:
			m.h.Usable(b)
		case 1:
			m.h.Realloc(b, m.rng.IntN(5000))
		case 2:
			m.h.ReallocAligned(b, m.rng.IntN(5000), 64)
		default:
			m.h.Free(b)
		}
	})
}

// step is a proper call.
func (m *misuser) step() {
	if len(m.live) <= 500 && (len(m.live) == 0 || m.rng.IntN(2) == 0) {
		m.add(must(m.t, m.h, 1+m.rng.IntN(1<<m.rng.IntN(15))))
		return
	}
	i := m.rng.IntN(len(m.live))
	b := m.live[i]
	m.live[i] = m.live[len(m.live)-1]
	m.live = m.live[:len(m.live)-1]
	delete(m.base, addrOf(b))
	if m.rng.IntN(4) != 0 {
		m.h.Free(b)
		m.dead = remember(m.dead, b)
		return
	}
	c, err := m.h.Realloc(b, 1+m.rng.IntN(1<<m.rng.IntN(15)))
	require.NoError(m.t, err)
	m.add(c)
	if addrOf(c) != addrOf(b) {
		m.moved = remember(m.moved, b)
	}
}

func (m *misuser) add(b []byte) {
	m.live = append(m.live, b)
	m.base[addrOf(b)] = true
}

// remember adds b to the newest 50.
func remember(bs [][]byte, b []byte) [][]byte {
	if bs = append(bs, b); len(bs) > 50 {
		bs = bs[1:]
	}
	return bs
}

// bad returns a block that must not be passed, and what is bad about it; nil if
// there is none of the kind at the moment.
func (m *misuser) bad() (what string, b []byte) {
	any := func(bs [][]byte) []byte {
		if len(bs) == 0 {
			return nil
		}
		return bs[m.rng.IntN(len(bs))]
	}
	switch m.rng.IntN(8) {
	case 0:
		what, b = "a freed block", any(m.dead)
	case 1:
		what, b = "a block that Realloc moved", any(m.moved)
	case 2:
		if what, b = "an interior address", any(m.live); len(b) > 1 {
			b = b[1+m.rng.IntN(len(b)-1):]
		} else {
			b = nil // the empty tail is the block
		}
	case 3:
		if what, b = "a misaligned address", any(m.dead); b != nil {
			b = b[min(len(b)-1, 1+m.rng.IntN(15)):]
		}
		if addrOf(b)%granule == 0 {
			b = nil
		}
	case 4:
		what, b = "a block of another heap", m.foreign
	case 5:
		what, b = "Go memory", make([]byte, 10)
	case 6:
		off := m.rng.Uint64N(m.h.hdr.first << granuleShift)
		what, b = "metadata", m.h.mem[off:][:1]
	default:
		what, b = "what append moved", append(any(m.live), 1)
	}
	if b == nil || m.base[addrOf(b)] { // handed out again: a limit of addresses
		return what, nil
	}
	return what, b
}

// TestStrayWrites writes where a program should not, at random, in a checked
// heap: past the end, before the start, after free. None may stay unseen.
func TestStrayWrites(t *testing.T) {
	rounds := 2000
	if *long {
		rounds = 20_000
	}
	m := newMisuser(t, Options{Mode: Checked, Seed: 1, Quarantine: 1 << 17})
	for i := range rounds {
		for range 5 {
			m.step()
		}
		off, want := m.stray()
		if want == nil {
			continue
		}
		m.h.mem[off] ^= byte(1 + m.rng.IntN(255))
		err := m.h.Check()
		require.True(t, errors.Is(err, want), "round %d: a write at %#x: %v, want %v", i, off, err, want)
		var fault *alloc.Fault
		require.ErrorAs(t, err, &fault)
		m.undo(off)
		require.NoError(t, m.h.Check())
	}
}

// stray returns an offset that is not the program's to write, and what it is to
// be found as.
func (m *misuser) stray() (off int, want error) {
	if len(m.live) == 0 {
		return 0, nil
	}
	switch m.rng.IntN(3) {
	case 0:
		b := m.live[m.rng.IntN(len(m.live))]
		off, want = at(m.h, b)+len(b)+m.rng.IntN(canaryMin), alloc.ErrOverflow
	case 1:
		b := m.live[m.rng.IntN(len(m.live))]
		off, want = at(m.h, b)-1-m.rng.IntN(recordSize), alloc.ErrUnderflow
	default:
		if len(m.dead) == 0 {
			return 0, nil
		}
		b := m.dead[len(m.dead)-1]
		if !m.h.chk.quarantine.has(uint64(at(m.h, b) - recordSize)) {
			return 0, nil
		}
		off, want = at(m.h, b)+m.rng.IntN(len(b)), alloc.ErrWriteAfterFree
	}
	m.saved = []byte{m.h.mem[off]}
	return off, want
}

// undo takes the stray write at off back.
func (m *misuser) undo(off int) { m.h.mem[off] = m.saved[0] }
