package vm

import (
	"encoding/binary"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNewMemoryRefuses(t *testing.T) {
	b := make([]byte, 64)
	for _, c := range []struct {
		name string
		b    []byte
		base PhysAddr
	}{
		{"empty", nil, 0},
		{"odd length", b[:9], 0},
		{"odd base", b, 4},
		{"wraps", b, 1<<64 - 32},
		{"not aligned", b[1:57], 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := NewMemory(c.b, c.base)
			require.Error(t, err)
		})
	}
}

func TestMemoryIsLittleEndian(t *testing.T) {
	b := make([]byte, 64)
	m, err := NewMemory(b, 0x8000_0000)
	require.NoError(t, err)
	require.True(t, m.Store(0x8000_0008, 8, 0x1122_3344_5566_7788))
	require.Equal(t, uint64(0x1122_3344_5566_7788), binary.LittleEndian.Uint64(b[8:]))
	require.True(t, m.Store(0x8000_000c, 4, 0xaabb_ccdd))
	require.Equal(t, uint64(0xaabb_ccdd_5566_7788), binary.LittleEndian.Uint64(b[8:]))
	for size, want := range map[uint64]uint64{1: 0xbb, 2: 0xaabb, 4: 0xaabb_ccdd} {
		pa := PhysAddr(0x8000_000c)
		if size < 4 {
			pa += 2
		}
		v, ok := m.Load(pa, size)
		require.True(t, ok)
		require.Equal(t, want, v, "size %d", size)
	}
	require.False(t, m.CompareAndSwap(0x8000_0008, 4, 1, 2))
	require.True(t, m.CompareAndSwap(0x8000_0008, 4, 0x5566_7788, 2))
	require.Equal(t, uint64(0xaabb_ccdd_0000_0002), LittleEndian(m.Words()[1]))
}

func TestMemoryBounds(t *testing.T) {
	m, err := NewMemory(make([]byte, 64), 1<<40)
	require.NoError(t, err)
	for _, pa := range []PhysAddr{0, 1<<40 - 8, 1<<40 + 64, 1<<40 + 4, 1<<64 - 8} {
		_, ok := m.Load(pa, 8)
		require.False(t, ok, "load at %v", pa)
		require.False(t, m.Store(pa, 8, 1))
		require.False(t, m.CompareAndSwap(pa, 8, 0, 1))
	}
	require.True(t, m.Contains(1<<40, 64))
	require.False(t, m.Contains(1<<40, 65))
	require.False(t, m.Contains(1<<40+8, 1<<64-8))
	_, ok := m.Bytes(1<<40+60, 8)
	require.False(t, ok)
	v, ok := m.Bytes(1<<40+8, 8)
	require.True(t, ok)
	require.Equal(t, 8, cap(v))
	require.False(t, m.Zero(1<<40+4, 8))
	require.True(t, m.Store(1<<40, 8, 7) && m.Zero(1<<40, 8))
	require.Equal(t, uint64(0), m.Words()[0])
}

// Two halves of one word are stored by two goroutines: neither update is lost.
func TestMemoryHalvesDoNotTear(t *testing.T) {
	m, err := NewMemory(make([]byte, 8), 0)
	require.NoError(t, err)
	var wg sync.WaitGroup
	for half := range 2 {
		wg.Go(func() {
			for i := range 1000 {
				m.Store(PhysAddr(4*half), 4, uint64(i))
			}
		})
	}
	wg.Wait()
	require.Equal(t, uint64(999<<32|999), LittleEndian(m.Words()[0]))
}

func TestFlushMatches(t *testing.T) {
	local := Entry{Page: 0x20_0000, Shift: 21, ASID: 1}
	global := Entry{Page: 0x20_0000, Shift: 21, ASID: 1, Global: true}
	for _, c := range []struct {
		name          string
		f             Flush
		local, global bool
	}{
		{"all", Flush{}, true, true},
		{"asid", FlushASID(1), true, false},
		{"other asid", FlushASID(2), false, false},
		{"va inside the page", FlushVA(0x2f_f000), true, true},
		{"va outside", FlushVA(0x40_0000), false, false},
		{"va and asid", FlushVAASID(0x20_0000, 1), true, false},
		{"invlpg", Invlpg(0x20_0000, 1), true, true},
		{"invlpg under another tag", Invlpg(0x20_0000, 2), false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			require.Equal(t, c.local, c.f.Matches(local))
			require.Equal(t, c.global, c.f.Matches(global))
		})
	}
}
