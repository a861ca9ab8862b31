package segregated

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
)

// TestDamagedMemory: what a free span remembers is damaged, and says that pages outside of
// it are free. Blocks there keep their contents whatever is done, and the heap says so.
func TestDamagedMemory(t *testing.T) {
	fields := map[string]func(in *spanInfo, bit int){
		"gone": func(in *spanInfo, bit int) { in.gone ^= 1 << bit },
		"idle": func(in *spanInfo, bit int) { in.idle ^= 1 << bit },
		"tag":  func(in *spanInfo, bit int) { in.tag ^= 1 << bit },
	}
	for name, flip := range fields {
		for bit := range 64 {
			t.Run(fmt.Sprintf("%s/%d", name, bit), func(t *testing.T) {
				h := fresh(t, 4<<20, &Options{Classes: []int{}})
				blocks := make([][]byte, 7)
				for i := range blocks {
					blocks[i] = must(t, h, 100<<10)
					set(blocks[i], byte(i+1))
				}
				h.Free(blocks[3])
				h.flushQuick()
				h.credit = 1000
				h.sweep(infoMin) // now it is idle
				g := uint64(at(h, blocks[3])) >> granuleShift
				flip(h.info(g), bit)
				h.credit = 1000
				err := alloc.Try(func() { h.sweep(infoMin); h.Trim(); h.Free(blocks[5]); h.Free(blocks[4]) })
				if h.err == nil {
					require.NoError(t, err)
				}
				for _, i := range []int{0, 1, 2, 6} {
					for k, c := range blocks[i] {
						if c != byte(i+1) {
							t.Fatalf("byte %d of block %d is %#x: %v", k, i, c, err)
						}
					}
				}
			})
		}
	}
}

// TestMallocOfDamagedMemory: a block does not come from a free span that remembers damaged
// ranges, as its pages may have been given back.
func TestMallocOfDamagedMemory(t *testing.T) {
	for name, take := range map[string]func(h *Heap, before []byte) ([]byte, error){
		"whole":   func(h *Heap, _ []byte) ([]byte, error) { return h.Malloc(100 << 10) },
		"end":     func(h *Heap, _ []byte) ([]byte, error) { return h.Malloc(98 << 10) },
		"aligned": func(h *Heap, _ []byte) ([]byte, error) { return h.MallocAligned(50<<10, 4096) },
		"calloc":  func(h *Heap, _ []byte) ([]byte, error) { return h.Calloc(100, 1<<10) },
		"grown":   func(h *Heap, before []byte) ([]byte, error) { return h.Realloc(before, 130<<10) },
	} {
		t.Run(name, func(t *testing.T) {
			h := fresh(t, 4<<20, &Options{Classes: []int{}})
			before := must(t, h, 100<<10)
			b := must(t, h, 100<<10)
			must(t, h, 100<<10)
			h.Free(b)
			h.credit = 1000
			h.sweep(infoMin)
			h.sweep(infoMin) // now it is given back
			in := h.info(uint64(at(h, b)) >> granuleShift)
			require.NotZero(t, in.gone)
			in.gone ^= 1 << 58
			b, err := take(h, before)
			require.ErrorIs(t, err, alloc.ErrCorrupt)
			require.Nil(t, b)
		})
	}
}

// TestDamagedHeld: what is given back of a damaged free span that is held is not used.
func TestDamagedHeld(t *testing.T) {
	for bit := range 64 {
		t.Run(fmt.Sprint(bit), func(t *testing.T) {
			h := fresh(t, 32<<20, &Options{Classes: []int{}})
			var blocks [4][]byte
			for i := range blocks {
				blocks[i] = must(t, h, 5<<20)
				set(blocks[i], byte(i+1))
			}
			h.Free(blocks[1])
			h.info(uint64(at(h, blocks[1])) >> granuleShift).tag ^= 1 << bit
			h.heldTo = 1
			h.giveHeld(allPages)
			for _, i := range []int{0, 2, 3} {
				for k := 0; k < 5<<20; k += 1 << 10 {
					if blocks[i][k] != byte(i+1) {
						t.Fatalf("byte %d of block %d is %#x", k, i, blocks[i][k])
					}
				}
			}
			h.fail("broken on purpose") // so that the end of the test does not check
		})
	}
}

// TestDamagedSpanSize: a free span whose size is damaged gives no block that belongs to its
// neighbour, be it the only one of its bin or not.
func TestDamagedSpanSize(t *testing.T) {
	for _, others := range []int{0, 1} {
		h := fresh(t, 8<<20, &Options{Classes: []int{}})
		var free [2][]byte
		for i := range free {
			free[i] = must(t, h, 1<<20)
			must(t, h, 1<<20)
		}
		for _, b := range free[:1+others] {
			h.Free(b)
			h.info(uint64(at(h, b)) >> granuleShift).tag += 4096 << granuleBits
		}
		b, err := h.Malloc(100 << 10)
		require.ErrorIs(t, err, alloc.ErrCorrupt, "%d others", others)
		require.Nil(t, b)
	}
}
