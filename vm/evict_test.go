package vm_test

import (
	"fmt"
	"testing"

	"github.com/memlab-go/memlab/vm"
	"github.com/memlab-go/memlab/vm/replace"
	"github.com/stretchr/testify/require"
)

// TestSlotsReclaimed has swap full of slots whose pages are in memory again: they
// give their slots up, and must be written anew when they are evicted.
func TestSlotsReclaimed(t *testing.T) {
	l := newLab(t, 64, labOptions{slots: 2})
	s := l.space(t)
	va := anon(t, s, 4)
	for i := range vm.VirtAddr(4) {
		put(t, s, va+i*page, fmt.Sprintf("page %d", i))
	}
	for i := range vm.VirtAddr(2) { // out and in again: clean, and each has a slot
		require.NoError(t, s.PageOut(va+i*page))
		require.Equal(t, fmt.Sprintf("page %d", i), get(t, s, va+i*page, 6))
	}
	require.Equal(t, 2, l.swap.Used())
	require.NoError(t, s.PageOut(va+2*page), "there is a slot for it after all")
	require.Equal(t, 1, l.swap.Used())
	require.NoError(t, s.PageOut(va))
	require.NoError(t, l.k.Check())
	require.ErrorIs(t, s.PageOut(va+page), vm.SwapFull)
	for i := range vm.VirtAddr(4) {
		require.Equal(t, fmt.Sprintf("page %d", i), get(t, s, va+i*page, 6))
	}
	l.requireEmpty(t)
}

// TestPinnedCopy forks a space with a pinned page: the one who pinned it keeps a
// pinned page when either side writes, and the child's page can be evicted.
func TestPinnedCopy(t *testing.T) {
	for _, parentWrites := range []bool{true, false} {
		l := newLab(t, 64, labOptions{slots: 8})
		s := l.space(t)
		va := anon(t, s, 1)
		put(t, s, va, "before")
		require.NoError(t, s.Pin(va, page))
		child, err := s.Fork()
		require.NoError(t, err)
		require.NoError(t, l.k.Check())
		writer, reader := child, s
		if parentWrites {
			writer, reader = s, child
		}
		put(t, writer, va, "after!")
		require.Equal(t, "before", get(t, reader, va, 6))
		require.ErrorIs(t, s.PageOut(va), vm.NoVictim)
		require.NoError(t, child.PageOut(va))
		require.NoError(t, s.Unpin(va, page))
		require.NoError(t, s.PageOut(va))
		require.Equal(t, 2, l.swap.Used())
		require.Equal(t, "after!", get(t, writer, va, 6))
		require.Equal(t, "before", get(t, reader, va, 6))
		l.requireEmpty(t)
	}
}

// TestTrimmed runs a working-set policy with room to spare: pages leave memory as
// soon as they leave the working set.
func TestTrimmed(t *testing.T) {
	l := newLab(t, 200, labOptions{slots: 200, policy: replace.NewWorkingSet(10)})
	s := l.space(t)
	va := anon(t, s, 60)
	_, err := fill(t, s, va, 60)
	require.NoError(t, err)
	require.LessOrEqual(t, l.k.Resident(), 11)
	require.Equal(t, int64(60-l.k.Resident()), l.k.Stats().Evictions)
	filled(t, s, va, 60)
	require.NoError(t, l.k.Check())
	l.requireEmpty(t)
}

// TestGlobalReplacement has a process that touches its page all the time and one
// that sweeps: LRU over both takes frames from the sweeper only.
func TestGlobalReplacement(t *testing.T) {
	l := newLab(t, 24, labOptions{slots: 200})
	steady, sweeper := l.space(t), l.space(t)
	va, vs := anon(t, steady, 1), anon(t, sweeper, 100)
	put(t, steady, va, "steady")
	for i := range 100 {
		put(t, sweeper, vs+vm.VirtAddr(i*page), "sweep")
		require.Equal(t, 1, steady.Resident())
		_, err := steady.Touch(va, vm.Read)
		require.NoError(t, err)
	}
	require.NotZero(t, l.k.Stats().Evictions)
	require.Zero(t, l.k.Stats().Major)
	l.requireEmpty(t)
}

// askedFor is a policy that notes for which page a victim was wanted last.
type askedFor struct {
	vm.Policy
	next vm.PageID
}

func (p *askedFor) Victim(next vm.PageID) (vm.PageID, bool) {
	p.next = next
	return p.Policy.Victim(next)
}

// TestNewSpaceEvicts: a new page table takes a frame in place of no page: a policy
// must not take it for a miss of page 0.
func TestNewSpaceEvicts(t *testing.T) {
	p := &askedFor{Policy: replace.NewLRU()}
	l := newLab(t, 16, labOptions{policy: p, slots: 32})
	s := l.space(t)
	va := anon(t, s, 24)
	_, err := fill(t, s, va, 24)
	require.NoError(t, err)
	require.Zero(t, l.k.Frames().Free())
	l.space(t)
	require.Equal(t, vm.NoPage, p.next)
	require.NoError(t, l.k.Check())
	l.requireEmpty(t)
}

// TestTableEvicts: a page table that takes a frame while a page is being mapped takes
// it in place of no page either: the page has its frame, and the policy has the page.
func TestTableEvicts(t *testing.T) {
	arc := replace.NewARC(20)
	p := &askedFor{Policy: arc}
	l := newLab(t, 20, labOptions{policy: p, slots: 100})
	s := l.space(t)
	va := anon(t, s, 30)
	for i := 0; l.k.Frames().Free() > 1; i++ {
		put(t, s, va+vm.VirtAddr(i*page), "x")
	}
	_, err := s.Mmap(0x100_0000, page, vm.PermR|vm.PermW, nil)
	require.NoError(t, err)
	put(t, s, 0x100_0000, "x")
	require.Equal(t, vm.NoPage, p.next)
	require.Zero(t, arc.Target())
	l.requireEmpty(t)
}
