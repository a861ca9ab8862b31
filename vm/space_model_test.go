package vm_test

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"testing"

	"github.com/memlab-go/memlab/vm"
	"github.com/memlab-go/memlab/vm/pagetable"
	"github.com/memlab-go/memlab/vm/replace"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// truth is what a process must see: the bytes of each page it has mapped. Shared
// pages are the same slice in several of them.
type truth struct {
	s    *vm.Space
	data map[vm.VirtAddr][]byte
	perm map[vm.VirtAddr]vm.Perm
	mine map[vm.VirtAddr]bool // private: copied by fork
}

type spaceModel struct {
	t     *rapid.T
	l     *lab
	procs []*truth
	tick  byte
}

const (
	arenaLow   = vm.VirtAddr(0x100_0000)
	arenaPages = 40
)

// TestSpacesModel runs random operations of several processes beside a map of
// pages to bytes, with little memory and every kind of policy and table.
func TestSpacesModel(t *testing.T) {
	formats := []*pagetable.Format{&pagetable.Sv39, &pagetable.X86_64, &pagetable.ARM64_4K, &pagetable.Sv32, &pagetable.X86}
	rapid.Check(t, func(rt *rapid.T) {
		spec := rapid.SampledFrom([]string{"FIFO", "LRU", "CLOCK", "ARC", "2Q", "LIRS", "WSCLOCK", "WS", "PFF", "NRU", "CLOCK-M", "SIEVE", "S3-FIFO", "MRU", "RANDOM"}).Draw(rt, "policy")
		newPolicy := func() vm.Policy {
			p, err := replace.New(spec, replace.Config{Frames: 8, Seed: 1})
			require.NoError(t, err)
			return &strictPolicy{Policy: p, t: rt, resident: map[vm.PageID]bool{}}
		}
		format := rapid.SampledFrom(formats).Draw(rt, "format")
		o := labOptions{format: format, slots: rapid.SampledFrom([]int{0, 6, 300}).Draw(rt, "slots"), noZero: rapid.Bool().Draw(rt, "noZero")}
		switch rapid.SampledFrom([]string{"global", "global", "equal", "fixed", "working set", "pff"}).Draw(rt, "replacement") {
		case "global":
			o.policy = newPolicy()
		case "equal":
			o.local = func() (vm.Policy, vm.Quota) { return newPolicy(), nil }
		case "fixed":
			o.local = func() (vm.Policy, vm.Quota) { return newPolicy(), replace.FixedQuota(9) }
		case "working set":
			o.local = func() (vm.Policy, vm.Quota) { return newPolicy(), replace.NewWorkingSetQuota(20, 2, 30) }
		case "pff":
			o.local = func() (vm.Policy, vm.Quota) { return newPolicy(), replace.NewPFFQuota(3, 2, 30) }
		}
		if format == &pagetable.Sv39 && rapid.Bool().Draw(rt, "huge") {
			o.table.Svnapot, o.huge = true, 64<<10
		}
		if format.Arch != vm.ArchX86 {
			o.table.SoftwareAccessed = rapid.Bool().Draw(rt, "softA")
			o.table.SoftwareDirty = rapid.Bool().Draw(rt, "softD")
		}
		m := &spaceModel{t: rt, l: newLab(t, rapid.IntRange(20, 60).Draw(rt, "frames"), o)}
		m.spawn()
		for range rapid.IntRange(5, 60).Draw(rt, "steps") {
			m.step(rt)
			require.NoError(rt, m.l.k.Check())
		}
		for _, p := range m.procs {
			m.verify(p)
		}
		m.l.requireEmpty(t)
	})
}

// A strictPolicy checks that a kernel tells a policy what vm.Policy promises.
type strictPolicy struct {
	vm.Policy
	t        *rapid.T
	resident map[vm.PageID]bool
}

func (s *strictPolicy) Hit(p vm.PageID, write bool) {
	require.True(s.t, s.resident[p], "hit of page %d, which is not resident", p)
	s.Policy.Hit(p, write)
}

func (s *strictPolicy) Insert(p vm.PageID, write bool) {
	require.False(s.t, s.resident[p], "page %d is inserted twice", p)
	s.resident[p] = true
	s.Policy.Insert(p, write)
}

func (s *strictPolicy) Remove(p vm.PageID) {
	require.True(s.t, s.resident[p], "page %d is removed and not resident", p)
	delete(s.resident, p)
	s.Policy.Remove(p)
}

func (s *strictPolicy) Victim(next vm.PageID) (vm.PageID, bool) {
	require.False(s.t, s.resident[next], "a victim for page %d, which is resident", next)
	v, ok := s.Policy.Victim(next)
	if ok {
		delete(s.resident, v)
	}
	return v, ok
}

func (s *strictPolicy) Trim() (v vm.PageID, ok bool) {
	if t, is := s.Policy.(vm.Trimmer); is {
		if v, ok = t.Trim(); ok {
			delete(s.resident, v)
		}
	}
	return v, ok
}

func (s *strictPolicy) Launder() (p vm.PageID, ok bool) {
	if l, is := s.Policy.(vm.Launderer); is {
		return l.Launder()
	}
	return 0, false
}

func (s *strictPolicy) Forget(p vm.PageID) {
	require.False(s.t, s.resident[p], "page %d is forgotten while it is resident", p)
	if f, is := s.Policy.(vm.Forgetter); is {
		f.Forget(p)
	}
}

// short reports that memory or swap ran out, which is no mistake.
func short(err error) bool {
	return errors.Is(err, vm.OutOfFrames) || errors.Is(err, vm.NoVictim) || errors.Is(err, vm.SwapFull)
}

func (m *spaceModel) spawn() {
	s, err := m.l.k.NewSpace()
	if short(err) {
		return
	}
	require.NoError(m.t, err)
	m.procs = append(m.procs, &truth{s, map[vm.VirtAddr][]byte{}, map[vm.VirtAddr]vm.Perm{}, map[vm.VirtAddr]bool{}})
}

func (m *spaceModel) step(rt *rapid.T) {
	if len(m.procs) == 0 {
		m.spawn()
		return
	}
	i := rapid.IntRange(0, len(m.procs)-1).Draw(rt, "process")
	p := m.procs[i]
	va := arenaLow + vm.VirtAddr(rapid.IntRange(0, arenaPages-1).Draw(rt, "page")*page)
	n := rapid.SampledFrom([]int{1, 2, 3, 5, 16, 24}).Draw(rt, "pages")
	switch rapid.SampledFrom([]string{"map", "map", "shared", "unmap", "protect", "write", "write", "write", "fill", "fill", "read", "read", "fork", "exit", "out", "pin", "discard", "move", "collapse"}).Draw(rt, "op") {
	case "map":
		m.mmap(p, va, n, false)
	case "shared":
		m.mmap(p, va, n, true)
	case "unmap":
		m.unmap(p, va, n)
	case "protect":
		m.protect(p, va, n, rapid.SampledFrom([]vm.Perm{0, vm.PermR, vm.PermR | vm.PermW}).Draw(rt, "perm"))
	case "write":
		m.write(p, va+vm.VirtAddr(rapid.IntRange(0, page-1).Draw(rt, "offset")), rapid.IntRange(1, 2*page).Draw(rt, "bytes"))
	case "fill":
		m.write(p, va, n*page)
	case "discard":
		m.discard(p, va, n)
	case "move":
		m.move(p, va, arenaLow+vm.VirtAddr(rapid.IntRange(0, arenaPages-1).Draw(rt, "to")*page), n)
	case "collapse":
		m.l.k.Collapse()
	case "read":
		m.verify(p)
	case "fork":
		m.fork(p)
	case "exit":
		p.s.Destroy()
		m.procs = slices.Delete(m.procs, i, i+1)
	case "out":
		if err := p.s.PageOut(va); !short(err) && !errors.Is(err, vm.NotMapped) {
			require.NoError(m.t, err)
		}
	case "pin":
		if err := p.s.Pin(va, page); err == nil {
			require.ErrorIs(m.t, p.s.PageOut(va), vm.NoVictim)
			require.NoError(m.t, p.s.Unpin(va, page))
		}
	}
}

// each calls f for n pages and reports whether f held for all of them.
func each(va vm.VirtAddr, n int, f func(vm.VirtAddr) bool) bool {
	for i := range n {
		if !f(va + vm.VirtAddr(i*page)) {
			return false
		}
	}
	return true
}

func (m *spaceModel) mmap(p *truth, va vm.VirtAddr, n int, shared bool) {
	free := each(va, n, func(at vm.VirtAddr) bool { return p.data[at] == nil })
	_, err := p.s.Mmap(va, uint64(n*page), vm.PermR|vm.PermW, &vm.MapOptions{Shared: shared})
	if !free {
		require.ErrorIs(m.t, err, vm.AlreadyMapped)
		return
	}
	require.NoError(m.t, err)
	each(va, n, func(at vm.VirtAddr) bool {
		p.data[at], p.perm[at], p.mine[at] = make([]byte, page), vm.PermR|vm.PermW, !shared
		return true
	})
}

func (m *spaceModel) unmap(p *truth, va vm.VirtAddr, n int) {
	known := each(va, n, func(at vm.VirtAddr) bool { return p.data[at] != nil })
	if err := p.s.Munmap(va, uint64(n*page)); !known {
		require.ErrorIs(m.t, err, vm.NotMapped)
		return
	} else {
		require.NoError(m.t, err)
	}
	each(va, n, func(at vm.VirtAddr) bool { delete(p.data, at); return true })
}

func (m *spaceModel) protect(p *truth, va vm.VirtAddr, n int, perm vm.Perm) {
	known := each(va, n, func(at vm.VirtAddr) bool { return p.data[at] != nil })
	if err := p.s.Mprotect(va, uint64(n*page), perm); !known {
		require.ErrorIs(m.t, err, vm.NotMapped)
		return
	} else {
		require.NoError(m.t, err)
	}
	each(va, n, func(at vm.VirtAddr) bool { p.perm[at] = perm; return true })
}

func (m *spaceModel) discard(p *truth, va vm.VirtAddr, n int) {
	known := each(va, n, func(at vm.VirtAddr) bool { return p.data[at] != nil })
	if err := p.s.Discard(va, uint64(n*page)); !known {
		require.ErrorIs(m.t, err, vm.NotMapped)
		return
	} else {
		require.NoError(m.t, err)
	}
	each(va, n, func(at vm.VirtAddr) bool {
		if p.mine[at] {
			p.data[at] = make([]byte, page)
		}
		return true
	})
}

func (m *spaceModel) move(p *truth, from, to vm.VirtAddr, n int) {
	known, alike := true, max(from, to)-min(from, to) >= vm.VirtAddr(n*page)
	for i := range n {
		a, b := from+vm.VirtAddr(i*page), to+vm.VirtAddr(i*page)
		known = known && p.data[a] != nil && p.data[b] != nil
		alike = alike && p.mine[a] && p.mine[b] && p.perm[a] == p.perm[from] && p.perm[b] == p.perm[from]
	}
	err := p.s.MovePages(to, from, uint64(n*page))
	switch {
	case !known:
		require.ErrorIs(m.t, err, vm.NotMapped)
		return
	case !alike:
		require.ErrorIs(m.t, err, vm.Misuse)
		return
	}
	require.NoError(m.t, err)
	for i := range n {
		a, b := from+vm.VirtAddr(i*page), to+vm.VirtAddr(i*page)
		p.data[b], p.data[a] = p.data[a], make([]byte, page)
	}
}

func (m *spaceModel) write(p *truth, va vm.VirtAddr, n int) {
	m.tick++
	b := bytes.Repeat([]byte{m.tick}, n)
	allowed := true
	for at := va &^ (page - 1); at < va+vm.VirtAddr(n); at += page {
		allowed = allowed && p.data[at] != nil && p.perm[at]&vm.PermW != 0
	}
	done, err := p.s.Write(va, b)
	switch {
	case !allowed:
		require.Error(m.t, err)
		require.Zero(m.t, done, "refused before anything is written")
		require.True(m.t, errors.Is(err, vm.NotPresent) || errors.Is(err, vm.Protection), "%v", err)
	case err != nil:
		require.True(m.t, short(err), "%v", err)
	default:
		require.Equal(m.t, n, done)
	}
	for i := range done {
		at := va + vm.VirtAddr(i)
		p.data[at&^(page-1)][at&(page-1)] = m.tick
	}
}

func (m *spaceModel) fork(p *truth) {
	if len(m.procs) > 4 {
		return
	}
	child, err := p.s.Fork()
	if err != nil {
		require.True(m.t, short(err), "%v", err)
		return
	}
	q := &truth{child, maps.Clone(p.data), maps.Clone(p.perm), maps.Clone(p.mine)}
	for at, b := range q.data {
		if q.mine[at] {
			q.data[at] = slices.Clone(b)
		}
	}
	m.procs = append(m.procs, q)
}

// verify reads every page of a process.
func (m *spaceModel) verify(p *truth) {
	b := make([]byte, page)
	for _, at := range slices.Sorted(maps.Keys(p.data)) {
		_, err := p.s.Read(at, b)
		switch {
		case p.perm[at]&vm.PermR == 0:
			require.ErrorIs(m.t, err, vm.Protection)
		case err != nil:
			require.True(m.t, short(err), "%v", err)
		default:
			require.True(m.t, bytes.Equal(p.data[at], b), "asid %d: page %v reads other bytes than were written", p.s.ASID(), at)
		}
	}
}
