package vm_test

import (
	"testing"

	"github.com/memlab-go/memlab/vm"
	"github.com/stretchr/testify/require"
)

// TestZeroFrame: reads of memory that nobody wrote share one frame, in all spaces;
// a write gets a frame of its own; the frame goes with the last who reads it.
func TestZeroFrame(t *testing.T) {
	l := newLab(t, 64, labOptions{slots: 4})
	s, u := l.space(t), l.space(t)
	va := anon(t, s, 8)
	free := l.k.Frames().Free()
	tables := l.k.TableFrames()
	for i := range 8 {
		require.Equal(t, "\x00\x00", get(t, s, va+vm.VirtAddr(i*page), 2))
	}
	require.Equal(t, 1, l.k.Resident())
	require.Equal(t, free-1-(l.k.TableFrames()-tables), l.k.Frames().Free())
	require.Zero(t, s.Resident(), "the page of zeros is nobody's")
	require.Equal(t, int64(8), l.k.Stats().ZeroMaps)
	require.Zero(t, l.k.Stats().ZeroFills)
	ub := anon(t, u, 1)
	require.Equal(t, "\x00", get(t, u, ub, 1))
	require.Equal(t, 1, l.k.Resident())

	put(t, s, va+3*page, "written")
	require.Equal(t, 2, l.k.Resident())
	require.Equal(t, int64(1), l.k.Stats().ZeroFills)
	require.Zero(t, l.k.Stats().Copies)
	require.Equal(t, "\x00\x00", get(t, s, va+4*page, 2))
	require.Equal(t, 1, s.Resident())

	require.NoError(t, s.PageOut(va), "there is nothing to evict")
	require.Equal(t, int64(0), l.k.Stats().Evictions)
	require.NoError(t, s.Mprotect(va, page, vm.PermR))
	require.NoError(t, s.Pin(va, page))
	require.NoError(t, l.k.Check())
	require.NoError(t, s.Unpin(va, page))

	child, err := s.Fork()
	require.NoError(t, err)
	require.Equal(t, "\x00", get(t, child, va+5*page, 1))
	put(t, child, va+5*page, "child")
	require.Equal(t, "\x00", get(t, s, va+5*page, 1))
	require.Equal(t, "written", get(t, child, va+3*page, 7))
	child.Destroy()
	u.Destroy()
	require.NoError(t, s.Munmap(va, 8*page))
	require.Zero(t, l.k.Resident())
	l.requireEmpty(t)
}

// TestZeroFrameOff: without it, the first read takes a frame.
func TestZeroFrameOff(t *testing.T) {
	l := newLab(t, 64, labOptions{noZero: true})
	s := l.space(t)
	va := anon(t, s, 3)
	for i := range 3 {
		require.Equal(t, "\x00", get(t, s, va+vm.VirtAddr(i*page), 1))
	}
	require.Equal(t, 3, s.Resident())
	require.Zero(t, l.k.Stats().ZeroMaps)
}

// TestZeroFrameNoMemory: where no frame is free for it, a read of memory evicts.
func TestZeroFrameNoMemory(t *testing.T) {
	l := newLab(t, 16, labOptions{slots: 32})
	s := l.space(t)
	va := anon(t, s, 32)
	n, err := fill(t, s, va, 20)
	require.NoError(t, err)
	require.Equal(t, 20, n)
	require.Equal(t, "\x00", get(t, s, va+30*page, 1))
	filled(t, s, va, 20)
	l.requireEmpty(t)
}
