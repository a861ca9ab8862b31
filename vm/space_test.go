package vm_test

import (
	"fmt"
	"testing"

	"github.com/memlab-go/memlab/vm"
	"github.com/stretchr/testify/require"
)

// TestSpaceArguments calls every method with what it must refuse.
func TestSpaceArguments(t *testing.T) {
	l, other := newLab(t, 64, labOptions{}), newLab(t, 8, labOptions{})
	s := l.space(t)
	disk := &memDevice{b: make([]byte, 2*page)}
	f, err := l.k.OpenFile(disk, page+1)
	require.NoError(t, err)
	foreign, err := other.k.OpenFile(disk, page)
	require.NoError(t, err)
	va := anon(t, s, 4)
	rw := vm.PermR | vm.PermW
	mmap := func(va vm.VirtAddr, n uint64, perm vm.Perm, o *vm.MapOptions) error {
		_, err := s.Mmap(va, n, perm, o)
		return err
	}
	brk := func(end vm.VirtAddr) error { _, err := s.Brk(end); return err }
	guard := s.Stack() - 17*page
	for _, c := range []struct {
		name string
		err  error
		kind vm.FaultKind
	}{
		{"mmap of nothing", mmap(0, 0, rw, nil), vm.BadLength},
		{"mmap of everything", mmap(0, ^uint64(0), rw, nil), vm.BadLength},
		{"mmap past the end", mmap(s.Stack()-page, 2*page, rw, nil), vm.BadLength},
		{"mmap of more than there is", mmap(0, 0x3fff_0000, rw, nil), vm.AlreadyMapped},
		{"mmap at an odd address", mmap(0x10_0001, page, rw, nil), vm.BadAlign},
		{"mmap at page 0", mmap(0x1000, page, rw, nil), vm.AlreadyMapped},
		{"mmap over a mapping", mmap(va-page, 2*page, rw, nil), vm.AlreadyMapped},
		{"mmap over the guard page", mmap(guard, page, rw, nil), vm.AlreadyMapped},
		{"mmap where the stack grows", mmap(guard+page, page, rw, nil), vm.AlreadyMapped},
		{"mmap with PXN", mmap(0, page, vm.PermPXN, nil), vm.BadPerm},
		{"file at an odd offset", mmap(0, page, rw, &vm.MapOptions{File: f, Offset: 7}), vm.BadAlign},
		{"file beyond its last page", mmap(0, page, rw, &vm.MapOptions{File: f, Offset: 2 * page}), vm.BadLength},
		{"file beyond its end", mmap(0, 3*page, rw, &vm.MapOptions{File: f}), vm.BadLength},
		{"file of another kernel", mmap(0, page, rw, &vm.MapOptions{File: foreign}), vm.Misuse},
		{"mprotect of a hole", s.Mprotect(va-page, 2*page, rw), vm.NotMapped},
		{"mprotect of nothing", s.Mprotect(va, 0, rw), vm.BadLength},
		{"mprotect with D", s.Mprotect(va, page, vm.PermD), vm.BadPerm},
		{"brk below the heap", brk(0x1000), vm.BadLength},
		{"brk into the stack", brk(s.Stack()), vm.AlreadyMapped},
		{"brk over a mapping", brk(va + page), vm.AlreadyMapped},
		{"pin of a hole", s.Pin(va+4*page, page), vm.NotMapped},
		{"unpin of a page that is not", s.Unpin(va, page), vm.Misuse},
		{"page out of a page never touched", s.PageOut(va), vm.NotMapped},
	} {
		require.ErrorIs(t, c.err, c.kind, c.name)
	}
	_, err = s.Touch(va, 3)
	require.ErrorIs(t, err, vm.Misuse)
	_, err = s.Read(^vm.VirtAddr(0), make([]byte, 2))
	require.ErrorIs(t, err, vm.BadLength)
	_, err = s.Read(va+4*page-1, make([]byte, 2))
	require.ErrorIs(t, err, vm.Protection, "into the guard page")
	require.Zero(t, l.k.Resident(), "nothing was touched")
	require.NoError(t, l.k.Check())
	require.NoError(t, f.Close())
	require.ErrorIs(t, mmap(0, page, rw, &vm.MapOptions{File: f}), vm.Misuse, "closed")
}

// TestProtection checks rights, and that lowered rights hold at once although the
// TLB knew the old ones.
func TestProtection(t *testing.T) {
	l := newLab(t, 64, labOptions{})
	s := l.space(t)
	va := anon(t, s, 3)
	put(t, s, va+page, "text")
	require.NoError(t, s.Mprotect(va+page, page, vm.PermR))
	_, err := s.Write(va, make([]byte, 3*page))
	require.ErrorIs(t, err, vm.Protection)
	require.Equal(t, "\x00", get(t, s, va, 1), "refused before the first byte")
	require.Equal(t, "text", get(t, s, va+page, 4))
	_, err = s.Touch(va+page, vm.Execute)
	require.ErrorIs(t, err, vm.Protection)
	require.NoError(t, s.Mprotect(va+page, page, vm.PermX|vm.PermR))
	_, err = s.Touch(va+page, vm.Execute)
	require.NoError(t, err)
	require.NoError(t, s.Mprotect(va, 3*page, 0))
	_, err = s.Read(va+page, make([]byte, 1))
	require.ErrorIs(t, err, vm.Protection)
	require.NoError(t, s.Mprotect(va, 3*page, vm.PermW))
	put(t, s, va+page+4, "ure")
	require.Equal(t, "texture", get(t, s, va+page, 7))
	l.requireEmpty(t)
}

// TestBrk grows and shrinks the heap: what comes back is zero.
func TestBrk(t *testing.T) {
	l := newLab(t, 64, labOptions{})
	s := l.space(t)
	low, err := s.Brk(0)
	require.NoError(t, err)
	for range 3 {
		end, err := s.Brk(low + 2*page + 5)
		require.NoError(t, err)
		require.Equal(t, low+2*page+5, end)
		require.Equal(t, "\x00\x00\x00", get(t, s, low+2*page, 3))
		put(t, s, low+2*page, "end")
		put(t, s, low, "low")
		_, err = s.Brk(low + page)
		require.NoError(t, err)
		require.Equal(t, "low", get(t, s, low, 3))
		_, err = s.Read(low+page, make([]byte, 1))
		require.ErrorIs(t, err, vm.NotPresent)
	}
	l.requireEmpty(t)
}

// TestAreas prints the breakdown of a space.
func TestAreas(t *testing.T) {
	l := newLab(t, 64, labOptions{slots: 8})
	s := l.space(t)
	low, err := s.Brk(0)
	require.NoError(t, err)
	_, err = s.Brk(low + 3*page)
	require.NoError(t, err)
	put(t, s, low, "heap")
	put(t, s, low+page, "more")
	require.NoError(t, s.PageOut(low))
	put(t, s, s.Stack()-2*page, "deep")
	va := anon(t, s, 4)
	require.NoError(t, s.Mprotect(va+page, 2*page, vm.PermR))
	require.NoError(t, s.Mprotect(va+page, page, vm.PermR|vm.PermX))
	var got []string
	for a := range s.Areas() {
		got = append(got, fmt.Sprintf("%s %d %v %d/%d", a.Kind, (a.End-a.Start)/page, a.Perm, a.Resident, a.Pages))
	}
	require.Equal(t, []string{"heap 3 rw-- 1/2", "anonymous 1 rw-- 0/0", "anonymous 1 r-x- 0/0", "anonymous 1 r--- 0/0",
		"anonymous 1 rw-- 0/0", "stack 2 rw-- 1/1"}, got)
	require.Equal(t, 2, s.Resident())
	require.Equal(t, 2, l.k.Resident())
	require.Equal(t, l.k.Frames().Len()-l.k.Frames().Free(), l.k.Resident()+l.k.TableFrames())
}

// TestSharedAnonymous is memory that parent and child write together, also after
// it was on swap.
func TestSharedAnonymous(t *testing.T) {
	l := newLab(t, 64, labOptions{slots: 8})
	s := l.space(t)
	va, err := s.Mmap(0, 2*page, vm.PermR|vm.PermW, &vm.MapOptions{Shared: true})
	require.NoError(t, err)
	child, err := s.Fork()
	require.NoError(t, err)
	put(t, child, va, "from child")
	require.Equal(t, "from child", get(t, s, va, 10))
	put(t, s, va+5, "parent")
	require.NoError(t, child.PageOut(va))
	require.Equal(t, 1, l.swap.Used())
	require.Equal(t, "from parent", get(t, child, va, 11))
	s.Destroy()
	require.NoError(t, l.k.Check())
	require.NoError(t, child.Munmap(va, page))
	put(t, child, va+page, "still there")
	require.NoError(t, child.Munmap(va+page, page))
	l.requireEmpty(t)
}

// TestBrkInsideAPage: what lies above a lowered end is lost in whole pages.
func TestBrkInsideAPage(t *testing.T) {
	l := newLab(t, 64, labOptions{})
	s := l.space(t)
	lo, err := s.Brk(0)
	require.NoError(t, err)
	_, err = s.Brk(lo + 2*page)
	require.NoError(t, err)
	put(t, s, lo+200, "same page")
	put(t, s, lo+page+200, "next page")
	_, err = s.Brk(lo + 100)
	require.NoError(t, err)
	_, err = s.Brk(lo + 2*page)
	require.NoError(t, err)
	require.Equal(t, "same page", get(t, s, lo+200, 9))
	require.Equal(t, string(make([]byte, 9)), get(t, s, lo+page+200, 9))
	l.requireEmpty(t)
}
