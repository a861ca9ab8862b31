package vm_test

import (
	"testing"

	"github.com/memlab-go/memlab/vm"
	"github.com/memlab-go/memlab/vm/replace"
	"github.com/stretchr/testify/require"
)

// touchAll writes n pages in turn, so many rounds.
func touchAll(t *testing.T, s *vm.Space, va vm.VirtAddr, n, rounds int) {
	t.Helper()
	for range rounds {
		for i := range n {
			_, err := s.Write(va+vm.VirtAddr(i*page), []byte{byte(i)})
			require.NoError(t, err)
		}
	}
	require.NoError(t, s.Kernel().Check())
}

// TestLocalReplacement: under global replacement a process that scans takes the
// frames of one that does not; under local replacement it pays for itself.
func TestLocalReplacement(t *testing.T) {
	run := func(o labOptions) (quietMajor int64) {
		o.slots = 200
		l := newLab(t, 60, o)
		quiet, scanner := l.space(t), l.space(t)
		q, sc := anon(t, quiet, 10), anon(t, scanner, 100)
		touchAll(t, quiet, q, 10, 2)
		touchAll(t, scanner, sc, 100, 2)
		before := l.k.Stats().Major
		touchAll(t, quiet, q, 10, 1)
		quietMajor = l.k.Stats().Major - before
		l.requireEmpty(t)
		return quietMajor
	}
	require.Equal(t, int64(10), run(labOptions{}), "global LRU")
	require.Zero(t, run(labOptions{local: func() (vm.Policy, vm.Quota) { return replace.NewLRU(), replace.FixedQuota(12) }}))
	require.Zero(t, run(labOptions{local: func() (vm.Policy, vm.Quota) { return replace.NewClock(), nil }}), "equal shares")
}

// TestLocalQuota: a space never has more pages in memory than its quota allows, and
// has them although frames are free.
func TestLocalQuota(t *testing.T) {
	l := newLab(t, 100, labOptions{slots: 200, local: func() (vm.Policy, vm.Quota) { return replace.NewFIFO(), replace.FixedQuota(7) }})
	s := l.space(t)
	require.Equal(t, 7, s.Quota())
	va := anon(t, s, 20)
	touchAll(t, s, va, 20, 2)
	require.Equal(t, 7, s.Charged())
	require.Equal(t, 7, s.Resident())
	require.Greater(t, l.k.Frames().Free(), 60)
	require.Equal(t, int64(20), l.k.Stats().Major, "FIFO with 7 frames faults on every page of a loop over 20")

	g := newLab(t, 100, labOptions{})
	require.Equal(t, -1, g.space(t).Quota())
	require.Zero(t, g.k.Spaces()[0].Charged())
}

// TestLocalEqualShares: without quotas, memory is divided by the number of spaces.
func TestLocalEqualShares(t *testing.T) {
	l := newLab(t, 64, labOptions{slots: 400, local: func() (vm.Policy, vm.Quota) { return replace.NewLRU(), nil }})
	a := l.space(t)
	va := anon(t, a, 100)
	touchAll(t, a, va, 100, 1)
	alone := a.Charged()
	require.Greater(t, alone, 50)
	b := l.space(t)
	require.LessOrEqual(t, a.Quota(), 31)
	touchAll(t, b, anon(t, b, 100), 100, 1)
	touchAll(t, a, va, 100, 1)
	require.LessOrEqual(t, a.Charged(), a.Quota())
	require.LessOrEqual(t, b.Charged(), b.Quota())
	b.Destroy()
	touchAll(t, a, va, 100, 1)
	require.Equal(t, alone, a.Charged())
	l.requireEmpty(t)
}

// TestLocalWorkingSet: quotas follow what a process needs now, up and down.
func TestLocalWorkingSet(t *testing.T) {
	for name, quota := range map[string]func() vm.Quota{
		"working set": func() vm.Quota { return replace.NewWorkingSetQuota(60, 2, 0) },
		"pff":         func() vm.Quota { return replace.NewPFFQuota(10, 2, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, 100, labOptions{slots: 200, local: func() (vm.Policy, vm.Quota) { return replace.NewLRU(), quota() }})
			s := l.space(t)
			va := anon(t, s, 50)
			touchAll(t, s, va, 30, 4)
			require.GreaterOrEqual(t, s.Charged(), 28)
			before := l.k.Stats().Major
			touchAll(t, s, va, 30, 2)
			require.LessOrEqual(t, l.k.Stats().Major-before, int64(2), "the working set is in memory")
			for i := range vm.VirtAddr(2) {
				touchAll(t, s, va, 4, 40)
				touchAll(t, s, va+(40+i)*page, 1, 1) // only at a fault is the frequency seen
			}
			require.LessOrEqual(t, s.Charged(), 8)
			l.requireEmpty(t)
		})
	}
}

// TestLocalOvercommit: quotas that add up to more than there is are served from
// those who have most, and page tables too.
func TestLocalOvercommit(t *testing.T) {
	l := newLab(t, 40, labOptions{slots: 400, local: func() (vm.Policy, vm.Quota) { return replace.NewLRU(), replace.FixedQuota(30) }})
	var spaces []*vm.Space
	for range 4 {
		s := l.space(t)
		spaces = append(spaces, s)
		touchAll(t, s, anon(t, s, 40), 40, 2)
	}
	for _, s := range spaces {
		require.LessOrEqual(t, s.Charged(), 30)
	}
	l.requireEmpty(t)
}

// TestLocalShared: a page is charged once, to one that has it, and handed on when
// that one leaves; what only the page cache has is nobody's.
func TestLocalShared(t *testing.T) {
	l := newLab(t, 100, labOptions{slots: 100, local: func() (vm.Policy, vm.Quota) { return replace.NewClock(), replace.FixedQuota(20) }})
	parent := l.space(t)
	va := anon(t, parent, 6)
	touchAll(t, parent, va, 6, 1)
	child, err := parent.Fork()
	require.NoError(t, err)
	require.Equal(t, 0, child.Charged())
	require.Equal(t, "\x03", get(t, child, va+3*page, 1))
	require.Equal(t, 6, parent.Charged())
	parent.Destroy()
	require.NoError(t, l.k.Check())
	require.Equal(t, 1, child.Charged(), "the one that it has mapped; the others are nobody's until it touches them")
	for i := range 6 {
		require.Equal(t, string(rune(i)), get(t, child, va+vm.VirtAddr(i*page), 1))
	}
	require.Equal(t, 6, child.Charged())

	f, err := l.k.OpenFile(&memDevice{b: make([]byte, 3*page)}, 3*page)
	require.NoError(t, err)
	m, err := child.Mmap(0, 3*page, vm.PermR, &vm.MapOptions{File: f})
	require.NoError(t, err)
	for i := range 3 {
		get(t, child, m+vm.VirtAddr(i*page), 1)
	}
	require.Equal(t, 9, child.Charged())
	require.NoError(t, child.Munmap(m, 3*page))
	require.NoError(t, l.k.Check())
	require.Equal(t, 6, child.Charged())
	require.Equal(t, 3, f.Cached())
	other := l.space(t)
	touchAll(t, other, anon(t, other, 90), 90, 1)
	require.NoError(t, f.Close())
	l.requireEmpty(t)
}

// TestLocalOptions: global and local replacement exclude each other.
func TestLocalOptions(t *testing.T) {
	mem, err := vm.NewMemory(make([]byte, 16*page), memBase)
	require.NoError(t, err)
	_, err = vm.NewKernel(mem, 0, &vm.KernelOptions{
		NewTable: func(vm.FrameSource) (vm.Mapper, error) { return nil, nil },
		Policy:   replace.NewLRU(), Local: func() (vm.Policy, vm.Quota) { return replace.NewLRU(), nil },
	})
	require.ErrorContains(t, err, "exclude")
}

// forgetter is a policy that notes which numbers it was told to forget.
type forgetter struct {
	*replace.ARC
	forgot []vm.PageID
}

func (f *forgetter) Forget(p vm.PageID) {
	f.forgot = append(f.forgot, p)
	f.ARC.Forget(p)
}

// TestForgetNumbers: when a page is no more, in memory or on swap, its number is
// forgotten, once, before another page gets it.
func TestForgetNumbers(t *testing.T) {
	f := &forgetter{ARC: replace.NewARC(8)}
	l := newLab(t, 16, labOptions{policy: f, slots: 40})
	s := l.space(t)
	va := anon(t, s, 20)
	_, err := fill(t, s, va, 20)
	require.NoError(t, err)
	require.NotZero(t, l.swap.Used())
	require.Empty(t, f.forgot)
	require.NoError(t, s.Munmap(va, 20*page))
	require.Len(t, f.forgot, 20)
	seen := map[vm.PageID]bool{}
	for _, p := range f.forgot {
		require.False(t, seen[p], "page %d", p)
		seen[p] = true
	}
	target := f.Target()
	vb := anon(t, s, 20)
	_, err = fill(t, s, vb, 8)
	require.NoError(t, err)
	require.Equal(t, target, f.Target(), "none of the new pages looks like one that was evicted")
	l.requireEmpty(t)
}

// TestTrimsForOthers: a reference to a page that another space has brought in counts in
// that one's working set, whose old pages leave memory at once.
func TestTrimsForOthers(t *testing.T) {
	l := newLab(t, 60, labOptions{slots: 100, local: func() (vm.Policy, vm.Quota) { return replace.NewWorkingSet(10), replace.FixedQuota(20) }})
	a := l.space(t)
	va, err := a.Mmap(0, page, vm.PermR|vm.PermW, &vm.MapOptions{Shared: true})
	require.NoError(t, err)
	own := anon(t, a, 5)
	b, err := a.Fork()
	require.NoError(t, err)
	put(t, a, va, "shared")
	touchAll(t, a, own, 5, 1)
	require.Equal(t, 6, a.Charged())
	for range 20 {
		require.Equal(t, "shared", get(t, b, va, 6))
	}
	require.Equal(t, 1, a.Charged())
	l.requireEmpty(t)
}
