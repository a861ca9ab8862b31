package vm_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/memlab-go/memlab/vm"
	"github.com/memlab-go/memlab/vm/replace"
	"github.com/stretchr/testify/require"
)

// TestFileSync writes through a shared mapping and looks at the device: nothing
// before Sync, everything after it, and only what changed.
func TestFileSync(t *testing.T) {
	l := newLab(t, 64, labOptions{})
	writes := 0
	disk := &vm.FaultyDevice{Device: &memDevice{b: bytes.Repeat([]byte{'.'}, 3*page-10)}}
	disk.OnWrite = func(p []byte, _ int64) (int, error) { writes++; return len(p), nil }
	f, err := l.k.OpenFile(disk, 3*page-10)
	require.NoError(t, err)
	require.Equal(t, uint64(3*page-10), f.Size())
	a, b := l.space(t), l.space(t)
	shared := &vm.MapOptions{File: f, Shared: true}
	va, err := a.Mmap(0, 3*page, vm.PermR|vm.PermW, shared)
	require.NoError(t, err)
	vb, err := b.Mmap(0, 3*page, vm.PermR|vm.PermW, shared)
	require.NoError(t, err)
	require.Equal(t, string(append(bytes.Repeat([]byte{'.'}, 6), make([]byte, 10)...)), get(t, a, va+3*page-16, 16), "zeros beyond the end")

	put(t, a, va+page, "one")
	put(t, b, vb+3*page-12, "beyond")
	require.Equal(t, "one", get(t, b, vb+page, 3))
	require.Zero(t, writes)
	require.Equal(t, 2, f.Cached())
	require.NoError(t, f.Sync())
	require.Equal(t, 2, writes)
	require.NoError(t, l.k.Check())
	require.NoError(t, f.Sync())
	require.Equal(t, 2, writes, "clean pages are not written again")
	put(t, b, vb+page, "two") // the TLB knew the page as dirty: it must see it turn dirty again
	require.NoError(t, f.Sync())
	require.Equal(t, 3, writes)
	got := disk.Device.(*memDevice).b
	require.Equal(t, "two", string(got[page:page+3]))
	require.Equal(t, "be", string(got[3*page-12:]), "not a byte beyond the end")

	broken := errors.New("worn out")
	disk.OnWrite = func([]byte, int64) (int, error) { return 0, broken }
	put(t, a, va, "three")
	require.ErrorIs(t, f.Sync(), broken)
	require.ErrorIs(t, f.Close(), vm.Misuse)
	a.Destroy()
	b.Destroy()
	require.ErrorIs(t, f.Close(), vm.SwapIO)
	require.Equal(t, 3, f.Cached(), "dirty data is not thrown away")
	disk.OnWrite = nil
	require.NoError(t, f.Close())
	require.NoError(t, f.Close())
	require.Equal(t, "three", string(disk.Device.(*memDevice).b[:5]))
	l.requireEmpty(t)
}

// TestFileReadError has a page of a file that cannot be read: the access fails
// with SwapIO and works when the device does.
func TestFileReadError(t *testing.T) {
	l := newLab(t, 64, labOptions{})
	disk := &vm.FaultyDevice{Device: &memDevice{b: make([]byte, page)}} // shorter than it is opened
	f, err := l.k.OpenFile(disk, 2*page)
	require.NoError(t, err)
	s := l.space(t)
	va, err := s.Mmap(0, 2*page, vm.PermR|vm.PermW, &vm.MapOptions{File: f})
	require.NoError(t, err)
	free := l.k.Frames().Free()
	_, err = s.Read(va+page, make([]byte, 1))
	require.ErrorIs(t, err, vm.SwapIO)
	_, err = s.Write(va+page, []byte("x"))
	require.ErrorIs(t, err, vm.SwapIO)
	require.Equal(t, free, l.k.Frames().Free())
	require.NoError(t, l.k.Check())
	put(t, s, va, "private")
	disk.Device.(*memDevice).b = bytes.Repeat([]byte{'z'}, 2*page)
	require.Equal(t, "zz", get(t, s, va+page, 2))
	require.Equal(t, "private", get(t, s, va, 7))
	s.Destroy()
	require.NoError(t, f.Close())
	require.Equal(t, byte('z'), disk.Device.(*memDevice).b[0], "private writes stay private")
	l.requireEmpty(t)
}

// TestCleanPages shows what is not written: zero pages that were only read, and
// pages that are on swap already and did not change.
func TestCleanPages(t *testing.T) {
	l := newLab(t, 64, labOptions{slots: 8, noZero: true})
	s := l.space(t)
	va := anon(t, s, 2)
	require.Equal(t, "\x00", get(t, s, va, 1))
	require.NoError(t, s.PageOut(va))
	require.Zero(t, l.swap.Stats().Writes, "a page of zeros that nobody wrote")
	put(t, s, va+page, "x")
	for range 3 {
		require.NoError(t, s.PageOut(va+page))
		require.Equal(t, "x", get(t, s, va+page, 1))
	}
	require.Equal(t, int64(1), l.swap.Stats().Writes)
	require.Equal(t, int64(3), l.swap.Stats().Reads)
	put(t, s, va+page, "y")
	require.NoError(t, s.PageOut(va+page))
	require.Equal(t, int64(2), l.swap.Stats().Writes)
	require.Equal(t, 1, l.swap.Used(), "in the same slot")
	require.Equal(t, int64(3), l.k.Stats().CleanEvictions)
	l.requireEmpty(t)
}

// launderer is a FIFO that wants every dirty page written back at each eviction.
type launderer struct {
	*replace.FIFO
	wants []vm.PageID
}

func (l *launderer) Insert(p vm.PageID, write bool) {
	l.FIFO.Insert(p, write)
	l.wants = append(l.wants, p)
}

func (l *launderer) Launder() (vm.PageID, bool) {
	if len(l.wants) == 0 {
		return 0, false
	}
	p := l.wants[0]
	l.wants = l.wants[1:]
	return p, true
}

// TestLaunder has pages written back while they stay in memory.
func TestLaunder(t *testing.T) {
	l := newLab(t, 16, labOptions{slots: 64, policy: &launderer{FIFO: replace.NewFIFO()}})
	s := l.space(t)
	va := anon(t, s, 40)
	_, err := fill(t, s, va, 40)
	require.NoError(t, err)
	require.NotZero(t, l.k.Stats().Cleaned)
	require.NotZero(t, l.k.Stats().CleanEvictions, "evicted without writing, once they are clean")
	filled(t, s, va, 40)
	for i := range 40 { // and again over pages that were laundered
		put(t, s, va+vm.VirtAddr(i*page), "second")
	}
	for i := range 40 {
		require.Equal(t, "second", get(t, s, va+vm.VirtAddr(i*page), 6))
	}
	l.requireEmpty(t)
}
