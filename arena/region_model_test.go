package arena_test

import (
	"encoding/binary"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/memlab-go/memlab/arena"
)

// modelPages is the size of the regions that model and fuzz tests run on.
const modelPages = 24

// A regionModel is a region beside the simplest description of it: which pages
// are committed, and a byte that fills each of them.
type regionModel struct {
	r         *arena.Region
	page      int
	limit     int // pages; 0: none
	committed [modelPages]bool
	fill      [modelPages]byte
	prot      [modelPages]arena.Prot
}

func newRegionModel(r *arena.Region, limitPages int) *regionModel {
	return &regionModel{r: r, page: r.PageSize(), limit: limitPages}
}

// span returns the arguments for n pages from page a on.
func (m *regionModel) span(a, n int) (arena.Offset, int) {
	return arena.Offset(a * m.page), n * m.page
}

func (m *regionModel) count() int {
	n := 0
	for _, c := range m.committed {
		if c {
			n++
		}
	}
	return n
}

// commit commits n pages and expects the limit to be kept.
func (m *regionModel) commit(t require.TestingT, a, n int) {
	fresh := 0
	for p := a; p < a+n; p++ {
		if !m.committed[p] {
			fresh++
		}
	}
	off, size := m.span(a, n)
	err := m.r.Commit(off, size)
	if m.limit > 0 && m.count()+fresh > m.limit {
		require.ErrorIs(t, err, arena.ErrLimit)
		return
	}
	require.NoError(t, err)
	for p := a; p < a+n; p++ {
		if !m.committed[p] {
			m.committed[p], m.fill[p], m.prot[p] = true, 0, arena.ProtReadWrite
		}
	}
}

func (m *regionModel) decommit(t require.TestingT, a, n int) {
	off, size := m.span(a, n)
	require.NoError(t, m.r.Decommit(off, size))
	for p := a; p < a+n; p++ {
		m.committed[p] = false
	}
}

// decommitPart clears some bytes inside a page, which makes it writable.
func (m *regionModel) decommitPart(t require.TestingT, a int) {
	off, _ := m.span(a, 1)
	require.NoError(t, m.r.Decommit(off+10, 20))
	if m.committed[a] {
		m.prot[a] = arena.ProtReadWrite
		part := m.r.Bytes()[off+10:][:20]
		require.Equal(t, make([]byte, 20), part)
		fillWith(part, m.fill[a])
	}
}

// protect changes the protection of n pages, if they are committed.
func (m *regionModel) protect(t require.TestingT, a, n int, prot arena.Prot) {
	for p := a; p < a+n; p++ {
		if !m.committed[p] {
			return
		}
	}
	off, size := m.span(a, n)
	err := m.r.Protect(off, size, prot)
	if m.r.Backing() == arena.GoHeap && n > 0 {
		require.ErrorIs(t, err, arena.ErrUnsupported)
		return
	}
	require.NoError(t, err)
	for p := a; p < a+n; p++ {
		m.prot[p] = prot
	}
}

// write fills the writable ones of n pages with v.
func (m *regionModel) write(a, n int, v byte) {
	for p := a; p < a+n; p++ {
		if m.committed[p] && m.prot[p] == arena.ProtReadWrite {
			m.fill[p] = v
			fillWith(m.r.Bytes()[p*m.page:][:m.page], v)
		}
	}
}

// move moves n pages and expects the refusals that Move documents.
func (m *regionModel) move(t require.TestingT, dst, src, n int) {
	d, size := m.span(dst, n)
	s, _ := m.span(src, n)
	after := *m
	for p := src; p < src+n; p++ {
		after.committed[p] = false
	}
	for p := range n {
		after.committed[dst+p], after.fill[dst+p], after.prot[dst+p] = true, m.fill[src+p], arena.ProtReadWrite
	}
	err := m.r.Move(d, s, size)
	for p := src; p < src+n; p++ {
		if !m.committed[p] {
			require.ErrorIs(t, err, arena.ErrUncommitted)
			return
		}
	}
	if dst == src {
		require.NoError(t, err)
		return
	}
	if m.limit > 0 && after.count() > m.limit {
		require.ErrorIs(t, err, arena.ErrLimit)
		return
	}
	require.NoError(t, err)
	*m = after
}

// check compares the region with the model.
func (m *regionModel) check(t require.TestingT) {
	require.NoError(t, m.r.Check())
	require.Equal(t, m.count()*m.page, m.r.Stats().Committed)
	for p, c := range m.committed {
		if !c || m.prot[p] == arena.ProtNone {
			continue
		}
		if !isFilledWith(m.r.Bytes()[p*m.page:][:m.page], m.fill[p]) {
			require.Failf(t, "contents", "page %d should be filled with %#x", p, m.fill[p])
		}
	}
}

// TestRegionModel does random operations on every backing beside the model.
func TestRegionModel(t *testing.T) {
	for name, o := range backings(t) {
		t.Run(name, func(t *testing.T) {
			dir, serial := t.TempDir(), 0
			rapid.Check(t, func(t *rapid.T) {
				opts := *o
				if opts.Backing == arena.File {
					serial++
					opts.Path = filepath.Join(dir, string(rune('a'+serial%26))+string(rune('a'+serial/26)))
				}
				limit := rapid.SampledFrom([]int{0, 0, modelPages / 2}).Draw(t, "limit")
				page := pageSizeOf()
				opts.Limit = limit * page
				r, err := arena.Reserve(modelPages*page, &opts)
				require.NoError(t, err)
				defer func() { require.NoError(t, r.Close()) }()
				m := newRegionModel(r, limit)
				t.Repeat(map[string]func(*rapid.T){
					"": func(t *rapid.T) { m.check(t) },
					"commit": func(t *rapid.T) {
						a, n := drawSpan(t)
						m.commit(t, a, n)
					},
					"decommit": func(t *rapid.T) {
						a, n := drawSpan(t)
						m.decommit(t, a, n)
					},
					"decommit part": func(t *rapid.T) {
						m.decommitPart(t, rapid.IntRange(0, modelPages-1).Draw(t, "page"))
					},
					"protect": func(t *rapid.T) {
						a, n := drawSpan(t)
						m.protect(t, a, n, arena.Prot(rapid.IntRange(0, int(arena.ProtReadWrite)).Draw(t, "prot")))
					},
					"write": func(t *rapid.T) {
						a, n := drawSpan(t)
						m.write(a, n, rapid.Byte().Draw(t, "v"))
					},
					"move": func(t *rapid.T) {
						src, n := drawSpan(t)
						m.move(t, rapid.IntRange(0, modelPages-n).Draw(t, "dst"), src, n)
					},
				})
			})
		})
	}
}

// drawSpan draws a range of pages.
func drawSpan(t *rapid.T) (a, n int) {
	a = rapid.IntRange(0, modelPages-1).Draw(t, "page")
	return a, rapid.IntRange(0, min(8, modelPages-a)).Draw(t, "pages")
}

// pageSizeOf returns the page size that regions of this system have.
func pageSizeOf() int { return arena.FromBytes(nil).PageSize() }

// FuzzRegion decodes bytes to the operations of the model, 4 bytes each: kind,
// page, length, argument.
func FuzzRegion(f *testing.F) {
	f.Add([]byte{0, 0, 8, 0, 2, 0, 8, 7, 3, 0, 4, 12, 1, 2, 3, 0})
	f.Add(binary.LittleEndian.AppendUint64(nil, 0x0708030107080300))
	f.Fuzz(func(t *testing.T, ops []byte) {
		for _, backing := range []arena.Backing{arena.Mmap, arena.GoHeap} {
			page := pageSizeOf()
			r, err := arena.Reserve(modelPages*page, &arena.Options{Backing: backing, Limit: 20 * page})
			require.NoError(t, err)
			m := newRegionModel(r, 20)
			for ops := ops[:min(len(ops), 400)]; len(ops) >= 4; ops = ops[4:] {
				a := int(ops[1]) % modelPages
				n := int(ops[2]) % (modelPages - a + 1)
				switch ops[0] % 4 {
				case 0:
					m.commit(t, a, n)
				case 1:
					m.decommit(t, a, n)
				case 2:
					m.write(a, n, ops[3])
				case 3:
					m.move(t, int(ops[3])%(modelPages-n+1), a, n)
				}
			}
			m.check(t)
			require.NoError(t, r.Close())
		}
	})
}
