package segregated

import (
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/arena"
)

// TestSharedMisuse lets goroutines free what they must not, at the same time:
// blocks that others are freeing, parts of live blocks, addresses that died
// before, strangers. None may be silent, and each block is freed once.
func TestSharedMisuse(t *testing.T) {
	misuses := 100_000
	if *long {
		misuses = 10_000_000
	}
	if raceEnabled || testing.Short() {
		misuses /= 10
	}
	for _, way := range []string{"shared", "handle"} {
		for _, b := range []arena.Backing{arena.GoHeap, arena.Mmap} {
			t.Run(way+"/"+b.String(), func(t *testing.T) {
				s := freshSharedIn(t, 48<<20, &arena.Options{Backing: b}, nil)
				m := newMob(t, s, usersOf(s)[way])
				for m.made.Load() < int64(misuses/4) && !t.Failed() {
					m.proper()
					m.improper()
				}
				if frees := m.plainFrees(); way == "handle" && canBias && hasBarrier() {
					require.Positive(t, frees)
				} else {
					t.Logf("%d plain frees by the claims that there are now", frees)
				}
				m.leave()
			})
		}
	}
}

// A mob is a number of goroutines that use one heap, properly and improperly by
// turns. While they misuse it nobody allocates, so that what is dead stays dead.
type mob struct {
	t       *testing.T
	s       *Shared
	members []*member
	live    map[uintptr][]byte // all live blocks, between the turns
	foreign [][]byte
	made    atomic.Int64 // bad calls
}

// A member is one goroutine.
type member struct {
	user
	rng  *rand.Rand
	live [][]byte
	dead [][]byte
}

func newMob(t *testing.T, s *Shared, newUser func() user) *mob {
	other := fresh(t, 4<<20, nil)
	m := &mob{t: t, s: s, foreign: [][]byte{must(t, other, 100), make([]byte, 10), make([]byte, 5000)}}
	for i := range 4 {
		u := newUser()
		warm(t, u)
		m.members = append(m.members, &member{user: u, rng: rand.New(rand.NewPCG(uint64(i), 5))})
	}
	return m
}

// all runs f for every member, each in a goroutine of its own.
func (m *mob) all(f func(*member)) {
	var wg sync.WaitGroup
	for _, p := range m.members {
		wg.Go(func() { f(p) })
	}
	wg.Wait()
}

// proper lets the members allocate, move and free, and collects what is live.
func (m *mob) proper() {
	m.rebias()
	m.all(func(p *member) {
		for range 200 {
			if err := p.step(); err != nil {
				m.t.Error(err)
				return
			}
		}
	})
	m.live = map[uintptr][]byte{}
	for _, p := range m.members {
		for _, b := range p.live {
			require.NotContains(m.t, m.live, addrOf(b), "a block was handed out twice")
			m.live[addrOf(b)] = b
		}
	}
	require.NoError(m.t, m.s.Check())
	require.Equal(m.t, len(m.live), m.s.Stats().LiveBlocks)
}

// rebias ends the pause after which slots are biased again: the mob would not let
// it pass.
func (m *mob) rebias() {
	if !canBias || !hasBarrier() {
		return
	}
	for _, o := range *m.s.owners.Load() {
		if hs := o.hands.Load(); hs != nil {
			hs.pause.Store(0)
		}
	}
}

// plainFrees returns how many blocks the mob has freed by plain writes.
func (m *mob) plainFrees() (n uint64) {
	for _, o := range *m.s.owners.Load() {
		o.mu.Lock()
		if hs := o.hands.Load(); hs != nil {
			n += hs.frees()
		}
		o.mu.Unlock()
	}
	return n
}

// step is a proper call.
func (p *member) step() error {
	size := 1 + p.rng.IntN(1<<p.rng.IntN(14))
	if len(p.live) > 200 || len(p.live) > 0 && p.rng.IntN(2) == 0 {
		i := p.rng.IntN(len(p.live))
		b := p.live[i]
		p.bury(b)
		if p.rng.IntN(4) == 0 {
			moved, err := p.Realloc(b, size)
			p.live[i] = moved
			return err
		}
		p.live[i] = p.live[len(p.live)-1]
		p.live = p.live[:len(p.live)-1]
		p.Free(b)
		return nil
	}
	b, err := p.Malloc(size)
	p.live = append(p.live, b)
	return err
}

// bury remembers some of what was freed.
func (p *member) bury(b []byte) {
	if p.dead = append(p.dead, b); len(p.dead) > 50 {
		p.dead = p.dead[1:]
	}
}

// improper lets all members free the same blocks, in different orders, and
// what is no block in between.
func (m *mob) improper() {
	var victims [][]byte
	for _, p := range m.members {
		n := len(p.live) / 4
		victims = append(victims, p.live[:n]...)
		p.live = p.live[n:]
	}
	dead := map[uintptr]bool{}
	for _, b := range victims {
		dead[addrOf(b)] = true
	}
	freed := make([]atomic.Int32, len(victims))
	m.all(func(p *member) {
		for _, i := range p.rng.Perm(len(victims)) {
			switch err := alloc.Try(func() { p.Free(victims[i]) }); {
			case err == nil:
				freed[i].Add(1)
			case !errors.Is(err, alloc.ErrDoubleFree) && !errors.Is(err, alloc.ErrInvalidFree):
				m.t.Error(err)
			default:
				m.made.Add(1)
			}
			if b := m.bad(p); b != nil && !dead[addrOf(b)] {
				m.refused(p, b)
			}
		}
	})
	for i := range freed {
		if n := freed[i].Load(); n != 1 {
			m.t.Fatalf("a block of %d bytes was freed %d times", len(victims[i]), n)
		}
	}
}

// refused makes a call with the bad block b.
func (m *mob) refused(p *member, b []byte) {
	m.made.Add(1)
	err := alloc.Try(func() {
		if p.rng.IntN(2) == 0 {
			p.Free(b)
		} else {
			p.Realloc(b, p.rng.IntN(2)*len(b)) // in place, if it were live
		}
	})
	if err == nil {
		m.t.Errorf("a bad block of %d bytes at %#x passed", len(b), addrOf(b))
	}
}

// bad returns what is no block: part of one, misaligned, dead or foreign.
func (m *mob) bad(p *member) []byte {
	switch p.rng.IntN(3) {
	case 0:
		if len(p.dead) == 0 {
			return nil
		}
		b := p.dead[p.rng.IntN(len(p.dead))]
		if _, again := m.live[addrOf(b)]; again {
			return nil
		}
		return b
	case 1:
		if len(p.live) == 0 {
			return nil
		}
		b := p.live[p.rng.IntN(len(p.live))]
		b = b[min(len(b), 1+p.rng.IntN(len(b))):]
		if len(b) == 0 {
			return nil // the empty tail is the block
		}
		return b
	}
	return m.foreign[p.rng.IntN(len(m.foreign))]
}

// leave frees everything.
func (m *mob) leave() {
	m.all(func(p *member) {
		for _, b := range p.live {
			p.Free(b)
		}
		p.close()
	})
	st := m.s.Stats()
	require.Zero(m.t, st.LiveBlocks)
	require.Equal(m.t, st.Mallocs, st.Frees)
	require.NoError(m.t, m.s.Check())
}
