package segregated

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
)

// TestMisuse makes bad frees and reallocs of every kind, at random, in a heap
// in use: none may be silent, none may change anything.
func TestMisuse(t *testing.T) {
	rounds := 100_000
	if *long {
		rounds = 10_000_000
	}
	m := misuser{t: t, h: fresh(t, 32<<20, nil), other: fresh(t, 4<<20, nil), rng: rand.New(rand.NewPCG(7, 7))}
	m.foreign = must(t, m.other, 100)
	for i := range rounds {
		m.step()
		if b := m.bad(); b != nil {
			err := alloc.Try(func() {
				if m.rng.IntN(2) == 0 {
					m.h.Free(b)
				} else {
					m.h.Realloc(b, m.rng.IntN(5000))
				}
			})
			if err == nil {
				t.Fatalf("round %d: a bad block at %#x passed", i, addrOf(b)-addrOf(m.h.mem))
			}
		}
		if i%5000 == 0 {
			require.NoError(t, m.h.Check())
		}
	}
	require.NoError(t, m.h.Check())
	require.Equal(t, len(m.live), m.h.Stats().LiveBlocks)
}

// misuser keeps live blocks and the addresses of freed ones.
type misuser struct {
	t        *testing.T
	h, other *Heap
	rng      *rand.Rand
	live     [][]byte
	base     map[uintptr]bool
	dead     [][]byte
	foreign  []byte
}

// step is a proper call or two.
func (m *misuser) step() {
	if m.base == nil {
		m.base = map[uintptr]bool{}
	}
	if len(m.live) > 500 || len(m.live) > 0 && m.rng.IntN(2) == 0 {
		i := m.rng.IntN(len(m.live))
		b := m.live[i]
		m.live[i] = m.live[len(m.live)-1]
		m.live = m.live[:len(m.live)-1]
		delete(m.base, addrOf(b))
		m.h.Free(b)
		m.dead = append(m.dead, b)
		if len(m.dead) > 50 {
			m.dead = m.dead[1:]
		}
		return
	}
	b := must(m.t, m.h, 1+m.rng.IntN(1<<m.rng.IntN(15)))
	m.live = append(m.live, b)
	m.base[addrOf(b)] = true
}

// bad returns a block that must not be freed: freed already, interior,
// misaligned, foreign, or moved by append.
func (m *misuser) bad() []byte {
	var b []byte
	switch m.rng.IntN(4) {
	case 0:
		if len(m.dead) > 0 {
			b = m.dead[m.rng.IntN(len(m.dead))]
		}
	case 1:
		if len(m.live) > 0 {
			b = m.live[m.rng.IntN(len(m.live))]
			b = b[min(len(b), 1+m.rng.IntN(len(b))):]
			if len(b) == 0 {
				return nil // the empty tail is the block
			}
		}
	case 2:
		b = m.foreign
	default:
		b = make([]byte, 10)
	}
	if b == nil || m.base[addrOf(b)] { // handed out again: a limit of addresses
		return nil
	}
	return b
}
