package vm_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/memlab-go/memlab/vm"
	"github.com/memlab-go/memlab/vm/replace"
	"github.com/stretchr/testify/require"
)

// TestFaultSpaces has the rows of part B that concern address spaces, frames and
// swap.
func TestFaultSpaces(t *testing.T) {
	for _, row := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"B10_frame_of_another_space", faultForeignFrame},
		{"B12_copy_on_write", faultCopyOnWrite},
		{"B19_double_unmap", faultDoubleUnmap},
		{"B20_out_of_frames", faultOutOfFrames},
		{"B21_swap_full", faultSwapFull},
		{"B22_swap_write_error", faultSwapWrite},
		{"B23_swap_read_error", faultSwapRead},
		{"B24_no_victim", faultNoVictim},
		{"B30_destroy", faultDestroy},
	} {
		t.Run(row.name, row.run)
	}
}

func faultForeignFrame(t *testing.T) {
	l := newLab(t, 64, labOptions{})
	a, b := l.space(t), l.space(t)
	va := anon(t, a, 1)
	put(t, a, va, "secret")
	e, f := a.Table().Probe(va)
	require.Nil(t, f)
	free, err := l.k.Frames().AllocFrames(1)
	require.NoError(t, err)
	l.k.Frames().FreeFrames(free, 1)
	vb := anon(t, b, 1)
	for _, frame := range []vm.PhysAddr{e.Frame, free} { // behind the kernel's back
		require.NoError(t, b.Table().Map(vb, frame, page, page, vm.PermR|vm.PermW|vm.PermU))
		_, err = b.Read(vb, make([]byte, 6))
		require.ErrorIs(t, err, vm.FrameNotOwned)
		_, err = b.Write(vb, []byte("x"))
		require.ErrorIs(t, err, vm.FrameNotOwned)
		require.ErrorContains(t, l.k.Check(), "K3")
		require.NoError(t, b.Table().Unmap(vb, page))
	}
	require.Equal(t, "secret", get(t, a, va, 6))
}

func faultCopyOnWrite(t *testing.T) {
	l := newLab(t, 64, labOptions{noPolicy: true})
	a := l.space(t)
	va := anon(t, a, 1)
	put(t, a, va, "parent")
	b, err := a.Fork()
	require.NoError(t, err)
	before := l.k.Stats()
	require.Equal(t, "parent", get(t, b, va, 6))
	e, f := a.Table().Probe(va)
	require.Nil(t, f)
	require.Equal(t, 2, l.k.Frames().Refs(e.Frame), "shared")

	for l.k.Frames().Free() > 0 { // the last frame is gone: no copy, and nothing changes
		_, err := l.k.Frames().AllocFrames(1)
		require.NoError(t, err)
	}
	_, err = b.Write(va, []byte("child!"))
	require.ErrorIs(t, err, vm.OutOfFrames)
	still, f := b.Table().Probe(va)
	require.Nil(t, f)
	require.Equal(t, e.Frame, still.Frame)
	require.Zero(t, still.Perm&vm.PermW)
	buf := make([]byte, 6)
	_, err = b.Read(va, buf)
	require.NoError(t, err)
	require.Equal(t, "parent", string(buf))
	for pa := vm.PhysAddr(0x8000_0000); pa < 0x8000_0000+64*page; pa += page { // give back what the test took
		if l.k.Frames().Refs(pa) == 0 && l.k.Frames().Allocated(pa) && !isTable(l, pa) {
			l.k.Frames().FreeFrames(pa, 1)
		}
	}
	put(t, b, va, "child!")
	require.Equal(t, "parent", get(t, a, va, 6))
	require.Equal(t, "child!", get(t, b, va, 6))
	put(t, a, va, "PARENT") // the last who has it: no copy
	after := l.k.Stats()
	require.Equal(t, int64(1), after.Copies-before.Copies)
	require.Equal(t, int64(1), after.Reuses-before.Reuses)
	now, f := a.Table().Probe(va)
	require.Nil(t, f)
	require.Equal(t, e.Frame, now.Frame, "reused in place")
	l.requireEmpty(t)
}

// isTable reports whether the frame at pa is a page table of some space.
func isTable(l *lab, pa vm.PhysAddr) bool {
	for _, s := range l.k.Spaces() {
		for tf := range s.Table().(tableWalker).Tables() {
			if tf.Addr == pa {
				return true
			}
		}
	}
	return false
}

func faultDoubleUnmap(t *testing.T) {
	l := newLab(t, 64, labOptions{})
	s := l.space(t)
	va := anon(t, s, 3)
	put(t, s, va, "one")
	require.NoError(t, s.Munmap(va, page))
	stats, free := l.k.Stats(), l.k.Frames().Free()
	require.ErrorIs(t, s.Munmap(va, page), vm.NotMapped)
	require.ErrorIs(t, s.Munmap(va, 3*page), vm.NotMapped)
	require.ErrorIs(t, s.Munmap(va+1, page), vm.BadAlign)
	require.ErrorIs(t, s.Munmap(va, 0), vm.BadLength)
	require.ErrorIs(t, s.Munmap(va, ^uint64(0)), vm.BadLength)
	require.Equal(t, stats, l.k.Stats())
	require.Equal(t, free, l.k.Frames().Free())
	require.NoError(t, s.Munmap(va+page, 2*page))
	s.Destroy()
	s.Destroy()
	require.ErrorIs(t, s.Munmap(va, page), vm.Misuse)
	l.requireEmpty(t)
}

// fill writes pages until one fails, and returns how many were written.
func fill(t testing.TB, s *vm.Space, va vm.VirtAddr, n int) (int, error) {
	t.Helper()
	for i := range n {
		if _, err := s.Write(va+vm.VirtAddr(i*page), []byte(fmt.Sprintf("page %04d", i))); err != nil {
			require.NoError(t, s.Kernel().Check())
			return i, err
		}
	}
	return n, nil
}

// filled checks what fill has written.
func filled(t testing.TB, s *vm.Space, va vm.VirtAddr, n int) {
	t.Helper()
	for i := range n {
		require.Equal(t, fmt.Sprintf("page %04d", i), get(t, s, va+vm.VirtAddr(i*page), 9))
	}
}

func faultOutOfFrames(t *testing.T) {
	l := newLab(t, 16, labOptions{})
	s := l.space(t)
	va := anon(t, s, 64)
	n, err := fill(t, s, va, 64)
	require.ErrorIs(t, err, vm.OutOfFrames)
	require.ErrorContains(t, err, "replace.LRU", "names the policy")
	f, ok := errors.AsType[*vm.Fault](err)
	require.True(t, ok)
	require.Equal(t, va+vm.VirtAddr(n*page), f.VA)
	require.Greater(t, n, 8)
	filled(t, s, va, n)
	require.NoError(t, s.Munmap(va, page)) // memory that is given back can be used
	put(t, s, va+vm.VirtAddr(n*page), "again")

	l = newLab(t, 16, labOptions{slots: 64})
	s = l.space(t)
	va = anon(t, s, 64)
	_, err = fill(t, s, va, 64)
	require.NoError(t, err, "with swap there is eviction")
	require.NotZero(t, l.k.Stats().DirtyEvictions)
	filled(t, s, va, 64)
	l.requireEmpty(t)
}

func faultSwapFull(t *testing.T) {
	l := newLab(t, 16, labOptions{slots: 4})
	s := l.space(t)
	va := anon(t, s, 64)
	n, err := fill(t, s, va, 64)
	require.ErrorIs(t, err, vm.SwapFull)
	require.Equal(t, 4, l.swap.Used())
	resident := l.k.Resident()
	require.Equal(t, n-4, resident, "the victims stay")
	require.ErrorIs(t, s.PageOut(va+vm.VirtAddr((n-1)*page)), vm.SwapFull)
	require.Equal(t, resident, l.k.Resident())
	_, dirty, f := s.Table().(vm.Aging).Used(va + vm.VirtAddr((n-1)*page))
	require.Nil(t, f)
	require.True(t, dirty)
	require.NoError(t, s.Munmap(va, 2*page)) // two slots are free: all the others can be seen
	for i := 2; i < n; i++ {
		require.Equal(t, fmt.Sprintf("page %04d", i), get(t, s, va+vm.VirtAddr(i*page), 9))
	}
	l.requireEmpty(t)
}

func faultSwapWrite(t *testing.T) {
	for _, torn := range []int{0, 100} {
		l := newLab(t, 16, labOptions{slots: 64})
		s := l.space(t)
		va := anon(t, s, 64)
		broken := errors.New("no more sectors")
		l.disk.OnWrite = func(p []byte, _ int64) (int, error) { return torn, broken }
		n, err := fill(t, s, va, 64)
		require.ErrorIs(t, err, vm.SwapIO)
		require.ErrorIs(t, err, broken)
		require.Equal(t, n, l.k.Resident(), "the victim stays")
		require.Zero(t, l.swap.Used())
		filled(t, s, va, n)
		l.disk.OnWrite = nil // and the access may be made again
		_, err = fill(t, s, va, 64)
		require.NoError(t, err)
		filled(t, s, va, 64)
		l.requireEmpty(t)
	}
}

func faultSwapRead(t *testing.T) {
	var old []byte
	for name, hook := range map[string]func(p []byte) error{
		"read error":  func([]byte) error { return errors.New("unreadable sector") },
		"flipped bit": func(p []byte) error { p[1234] ^= 0x10; return nil },
		"checksum":    func(p []byte) error { p[page] ^= 1; return nil },
		"other slot":  func(p []byte) error { p[page+4] ^= 1; return nil },
		"stale write": func(p []byte) error { copy(p, old); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, 32, labOptions{slots: 64})
			s, other := l.space(t), l.space(t)
			va, vb := anon(t, s, 2), anon(t, other, 1)
			put(t, other, vb, "unaffected")
			put(t, s, va, "version 1")
			require.NoError(t, s.PageOut(va))
			l.disk.OnRead = func(p []byte, _ int64) error { old = append([]byte(nil), p...); return nil }
			require.Equal(t, "version 1", get(t, s, va, 9))
			l.disk.OnRead = nil
			put(t, s, va, "version 2")
			require.NoError(t, s.PageOut(va))
			l.disk.OnRead = func(p []byte, _ int64) error { return hook(p) }
			free := l.k.Frames().Free()
			buf := []byte("untouched")
			for range 2 {
				_, err := s.Read(va, buf)
				require.ErrorIs(t, err, vm.SwapIO)
				f, _ := errors.AsType[*vm.Fault](err)
				require.Equal(t, va, f.VA)
				require.Equal(t, s.ASID(), f.ASID)
				_, missing := s.Table().Probe(va)
				require.NotNil(t, missing, "stays non-present")
				require.Equal(t, free, l.k.Frames().Free(), "no frame leaks")
				require.NoError(t, l.k.Check())
			}
			require.Equal(t, "untouched", string(buf))
			require.Equal(t, "unaffected", get(t, other, vb, 10))
			put(t, s, va+page, "goes on")
			l.disk.OnRead = nil
			require.Equal(t, "version 2", get(t, s, va, 9), "the disk recovered")
			l.requireEmpty(t)
		})
	}
}

func faultNoVictim(t *testing.T) {
	for _, spec := range []string{"FIFO", "LRU", "CLOCK", "ARC", "LIRS", "WSCLOCK", "SIEVE"} {
		p, err := replace.New(spec, replace.Config{Frames: 8})
		require.NoError(t, err)
		l := newLab(t, 16, labOptions{slots: 64, policy: p})
		s := l.space(t)
		va := anon(t, s, 64)
		n := 0
		for ; err == nil; n++ {
			err = s.Pin(va+vm.VirtAddr(n*page), page)
			require.NoError(t, l.k.Check())
		}
		require.ErrorIs(t, err, vm.NoVictim, spec)
		require.ErrorIs(t, err, vm.OutOfFrames)
		require.Equal(t, n-1, l.k.Resident(), "all of them pinned")
		require.ErrorIs(t, s.PageOut(va), vm.NoVictim)
		require.Zero(t, l.k.Stats().Evictions)
		require.NoError(t, s.Unpin(va, page))
		require.ErrorIs(t, s.Unpin(va, page), vm.Misuse)
		put(t, s, va+vm.VirtAddr(n*page), "room")
		require.Equal(t, int64(1), l.k.Stats().Evictions)
		l.requireEmpty(t)
	}
	l := newLab(t, 1, labOptions{slots: 4}) // no frame is left for pages at all
	s, err := l.k.NewSpace()
	require.NoError(t, err)
	_, err = s.Write(s.Stack()-8, []byte("x"))
	require.ErrorIs(t, err, vm.NoVictim)
	_, err = l.k.NewSpace()
	require.ErrorIs(t, err, vm.NoVictim)
	require.NoError(t, l.k.Check())
	_, err = vm.NewFrames(&vm.Memory{}, 0)
	require.NoError(t, err, "a memory of no frames has none to give")
}

func faultDestroy(t *testing.T) {
	l := newLab(t, 24, labOptions{slots: 200})
	disk := &memDevice{b: make([]byte, 3*page)}
	file, err := l.k.OpenFile(disk, 3*page)
	require.NoError(t, err)
	for range 3 {
		a := l.space(t)
		va := anon(t, a, 30)
		_, err := fill(t, a, va, 30)
		require.NoError(t, err)
		fm, err := a.Mmap(0, 3*page, vm.PermR|vm.PermW, &vm.MapOptions{File: file, Shared: true})
		require.NoError(t, err)
		put(t, a, fm+page, "to the file")
		_, err = a.Mmap(0, 2*page, vm.PermR|vm.PermW, &vm.MapOptions{Shared: true})
		require.NoError(t, err)
		require.NoError(t, a.Pin(va, 2*page))
		b, err := a.Fork()
		require.NoError(t, err)
		_, err = fill(t, b, va, 10)
		require.NoError(t, err)
		require.NotZero(t, l.swap.Used())
		a.Destroy()
		require.NoError(t, l.k.Check())
		filled(t, b, va, 30)
		b.Destroy()
		require.NoError(t, l.k.Check())
		require.Zero(t, l.swap.Used())
		_, err = b.Read(va, make([]byte, 1))
		require.ErrorIs(t, err, vm.Misuse)
	}
	require.NoError(t, file.Close())
	require.Equal(t, "to the file", string(disk.b[page:page+11]))
	l.requireEmpty(t)
}

// hog takes all free frames but some, and returns what gives them back.
func hog(t *testing.T, l *lab, leave int) (release func()) {
	t.Helper()
	var taken []vm.PhysAddr
	for l.k.Frames().Free() > leave {
		pa, err := l.k.Frames().AllocFrames(1)
		require.NoError(t, err)
		taken = append(taken, pa)
	}
	return func() {
		for _, pa := range taken {
			l.k.Frames().FreeFrames(pa, 1)
		}
	}
}

// TestFailedCopyLeavesThePage writes to a private page of a file when there is a frame
// for the copy and none for the page tables: nothing is copied.
func TestFailedCopyLeavesThePage(t *testing.T) {
	l := newLab(t, 32, labOptions{noPolicy: true})
	s := l.space(t)
	f, err := l.k.OpenFile(&memDevice{b: []byte("of the file")}, 11)
	require.NoError(t, err)
	va, err := s.Mmap(0, page, vm.PermR|vm.PermW, &vm.MapOptions{File: f})
	require.NoError(t, err)
	require.Equal(t, "of the file", get(t, s, va, 11))
	require.NoError(t, s.Mprotect(va, page, vm.PermR|vm.PermW)) // takes the mapping away, and the tables

	release := hog(t, l, 2)
	stats, resident := l.k.Stats(), l.k.Resident()
	for range 2 {
		_, err = s.Write(va, []byte("private"))
		require.ErrorIs(t, err, vm.OutOfFrames)
		require.Equal(t, stats, l.k.Stats())
		require.Equal(t, resident, l.k.Resident())
		require.Equal(t, 2, l.k.Frames().Free())
	}
	release()
	require.NoError(t, l.k.Check())
	put(t, s, va, "private")
	require.Equal(t, stats.Copies+1, l.k.Stats().Copies)
	require.Equal(t, "privatefile", get(t, s, va, 11))
	s.Destroy()
	require.NoError(t, f.Close())
	l.requireEmpty(t)
}

// TestFailedGrowthLeavesTheStack touches the stack below its end when no frame is
// free: it is as large as before.
func TestFailedGrowthLeavesTheStack(t *testing.T) {
	l := newLab(t, 32, labOptions{noPolicy: true})
	s := l.space(t)
	put(t, s, s.Stack()-8, "top")
	areas, stats := slices.Collect(s.Areas()), l.k.Stats()
	release := hog(t, l, 0)
	_, err := s.Write(s.Stack()-3*page, []byte("deep"))
	require.ErrorIs(t, err, vm.OutOfFrames)
	require.Equal(t, areas, slices.Collect(s.Areas()))
	require.Equal(t, stats, l.k.Stats())
	release()
	put(t, s, s.Stack()-3*page, "deep")
	require.Equal(t, stats.StackGrowths+1, l.k.Stats().StackGrowths)
	require.Equal(t, s.Stack()-3*page, slices.Collect(s.Areas())[0].Start)
	l.requireEmpty(t)
}
