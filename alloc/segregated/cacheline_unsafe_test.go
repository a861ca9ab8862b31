package segregated

import (
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// TestCacheLines: a class and a line of the quick lists do not straddle two lines of the cache in an
// object before which Go puts eight bytes, as it does with one of this size with pointers.
func TestCacheLines(t *testing.T) {
	if unsafe.Sizeof(uintptr(0)) != 8 {
		t.Skip("laid out for 64 bits")
	}
	h := new(Heap)
	for _, c := range []struct {
		name string
		addr unsafe.Pointer
		size uintptr
	}{
		{"class", unsafe.Pointer(&h.classes), unsafe.Sizeof(h.classes[0])},
		{"line", unsafe.Pointer(&h.quick.lines), unsafe.Sizeof(h.quick.lines[0])},
	} {
		// SAFETY: a number that is only compared.
		require.Zero(t, (8+uintptr(c.addr)-uintptr(unsafe.Pointer(h)))%64, c.name)
		require.EqualValues(t, 64, c.size, c.name)
	}
	// An object of the next size class costs the process some pages more.
	require.LessOrEqual(t, 8+unsafe.Sizeof(*h), uintptr(24576))
}
