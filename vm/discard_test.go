package vm_test

import (
	"testing"

	"github.com/memlab-go/memlab/vm"
	"github.com/stretchr/testify/require"
)

// TestDiscard: what is discarded reads as zero, or as the file, and its frames and
// slots are free.
func TestDiscard(t *testing.T) {
	l := newLab(t, 64, labOptions{slots: 8})
	s := l.space(t)
	va := anon(t, s, 4)
	_, err := fill(t, s, va, 4)
	require.NoError(t, err)
	require.NoError(t, s.PageOut(va+page))
	require.NoError(t, s.Pin(va+3*page, page))
	require.ErrorIs(t, s.Discard(va, 4*page), vm.Misuse)
	require.Equal(t, "page 0000", get(t, s, va, 9), "nothing has changed")
	require.NoError(t, s.Discard(va, 3*page))
	require.NoError(t, l.k.Check())
	require.Equal(t, 0, l.swap.Used())
	require.Equal(t, "\x00\x00", get(t, s, va+page, 2))
	require.Equal(t, "page 0003", get(t, s, va+3*page, 9))
	require.ErrorIs(t, s.Discard(va-page, page), vm.NotMapped)
	require.ErrorIs(t, s.Discard(va+1, page), vm.BadAlign)

	disk := &memDevice{b: []byte("a file's bytes")}
	f, err := l.k.OpenFile(disk, uint64(len(disk.b)))
	require.NoError(t, err)
	for _, shared := range []bool{false, true} {
		m, err := s.Mmap(0, page, vm.PermR|vm.PermW, &vm.MapOptions{File: f, Shared: shared})
		require.NoError(t, err)
		put(t, s, m, "A")
		require.NoError(t, s.Discard(m, page))
		require.Equal(t, map[bool]string{false: "a file", true: "A file"}[shared], get(t, s, m, 6))
		require.NoError(t, s.Munmap(m, page))
	}
	require.NoError(t, f.Close())
	l.requireEmpty(t)
}

// TestMovePages: pages change their address with what they hold, in memory and on
// swap; the ranges that cannot are refused.
func TestMovePages(t *testing.T) {
	l := newLab(t, 64, labOptions{slots: 8})
	s := l.space(t)
	from, to := anon(t, s, 4), anon(t, s, 8)
	_, err := fill(t, s, from, 4)
	require.NoError(t, err)
	put(t, s, to+page, "lost")
	require.NoError(t, s.PageOut(from+2*page))
	faults, copies := l.k.Stats().Faults, l.k.Stats().Copies
	require.NoError(t, s.MovePages(to, from, 4*page))
	require.NoError(t, l.k.Check())
	require.Equal(t, "page 0000", get(t, s, to, 9))
	require.Equal(t, "page 0003", get(t, s, to+3*page, 9))
	require.Equal(t, faults, l.k.Stats().Faults, "they are mapped at once")
	require.Equal(t, copies, l.k.Stats().Copies)
	require.Equal(t, "page 0002", get(t, s, to+2*page, 9))
	require.Equal(t, "\x00", get(t, s, from, 1))

	require.ErrorIs(t, s.MovePages(to, to+page, 2*page), vm.Misuse)
	require.NoError(t, s.Pin(from, page))
	require.ErrorIs(t, s.MovePages(to, from, page), vm.Misuse)
	require.NoError(t, s.Unpin(from, page))
	require.NoError(t, s.Mprotect(from, page, vm.PermR))
	require.ErrorIs(t, s.MovePages(to, from, page), vm.Misuse)
	require.ErrorIs(t, s.MovePages(0x2000_0000, from, page), vm.NotMapped)
	require.NoError(t, l.k.Check())
	l.requireEmpty(t)
}
