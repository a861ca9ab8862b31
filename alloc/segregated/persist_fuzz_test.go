package segregated

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/arena"
)

// imageSize is the size in bytes of the regions of heap images.
const imageSize = 1 << 20

// heapImage returns the bytes of a file that holds a closed heap.
func heapImage(t testing.TB, m Mode) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image")
	r := fileRegion(t, path, imageSize)
	h, err := New(r, &Options{Mode: m, Seed: 1, Classes: []int{32, 64}})
	require.NoError(t, err)
	l := list{h}
	for i := range 120 {
		require.NoError(t, l.push(uint64(i), 24+i*i%3000))
		if i%3 == 0 {
			require.NoError(t, l.pop())
		}
	}
	h.Free(must(t, h, 40000))
	require.NoError(t, h.Close())
	require.NoError(t, r.Close())
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	return b
}

// FuzzOpen changes bytes of a heap in a file and opens it: errors and faults may
// follow, no other panic, no loop, and no access outside of the file.
func FuzzOpen(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 0})
	f.Add([]byte{1, 0x80, 0x10, 0, 7, 1, 1, 1, 1, 1})
	f.Add([]byte{2, 0x28, 0, 0, 0xff})
	f.Add([]byte{3, 0x40, 0x20, 0, 1, 0x41, 0x20, 0, 1})
	images := map[Mode][]byte{Fast: heapImage(f, Fast), Checked: heapImage(f, Checked)}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) == 0 {
			return
		}
		b := append([]byte(nil), images[Mode(data[0]&1)]...)
		for p := data[1:]; len(p) >= 4; p = p[4:] {
			at := int(p[0]) | int(p[1])<<8 | int(p[2])<<16
			b[at%len(b)] ^= p[3]
		}
		openImage(t, b, data[0]&2 != 0)
	})
}

// openImage opens the heap that the bytes are, and uses it. With killed it says
// that it was not closed; else its sum is made right.
func openImage(t *testing.T, b []byte, killed bool) {
	path := filepath.Join(t.TempDir(), "heap")
	h := &Heap{view: newView(b[:headerSize:headerSize], tables{})}
	h.hdr.state = stateClean
	if killed {
		h.hdr.state = stateOpen
	}
	h.hdr.sum = h.headerSum()
	runtime.KeepAlive(b)
	require.NoError(t, os.WriteFile(path, b, 0o600))
	r, err := arena.Reserve(imageSize, &arena.Options{Backing: arena.File, Path: path})
	require.NoError(t, err)
	defer os.Remove(path) // a long run opens tens of thousands
	defer r.Close()
	h, err = Open(r, nil)
	if err != nil {
		return
	}
	_ = alloc.Try(func() {
		l := list{h}
		for i := range 20 {
			_ = l.push(uint64(i), 24+i*150)
			_ = l.pop()
		}
		for b := h.Root(); len(b) >= 8; {
			b, _ = h.At(arena.Offset(binary.LittleEndian.Uint64(b)))
			if b != nil {
				h.Free(b)
				break
			}
		}
		_ = h.Check()
	})
	_ = alloc.Try(func() { _ = h.Close() })
}

// TestOpenDamaged is FuzzOpen for each word of the metadata in use, and a few
// values.
func TestOpenDamaged(t *testing.T) {
	step := 1009
	if *long {
		step = 23
	}
	for _, m := range []Mode{Fast, Checked} {
		image := heapImage(t, m)
		h := &Heap{view: newView(image[:headerSize:headerSize], tables{})}
		end := int(h.hdr.top<<granuleShift) + 64
		for i := 0; i < end/8; i += step {
			for _, x := range []uint64{1, 1 << 40, ^uint64(0), 0x0101010101010101} {
				b := append([]byte(nil), image...)
				at := i * 8
				binary.NativeEndian.PutUint64(b[at:], binary.NativeEndian.Uint64(b[at:])^x)
				openImage(t, b, i%2 == 0)
			}
		}
	}
}
