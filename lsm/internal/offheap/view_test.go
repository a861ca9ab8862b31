package offheap

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSlice(t *testing.T) {
	bytes := Slice[byte](make([]byte, 5))
	require.Len(t, bytes, 5)

	type pair struct{ a, b uint32 }
	mem := make([]byte, 0, 64)
	for len(mem) < 33 {
		mem = append(mem, 0)
	}
	pairs := Slice[pair](mem)
	require.Len(t, pairs, 4, "the last byte is no whole value")
	pairs[3] = pair{1, 2}
	require.Equal(t, pair{1, 2}, Slice[pair](mem[24:])[0], "a view, not a copy")
	require.NotZero(t, mem[24]+mem[27], "in one byte order or the other")
	require.Nil(t, Slice[uint64](mem[:7]))
}

func TestSliceRefusesMisalignment(t *testing.T) {
	mem := make([]byte, 64)
	require.Panics(t, func() { Slice[uint64](mem[1:]) })
}
