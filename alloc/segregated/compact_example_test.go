package segregated_test

import (
	"encoding/binary"
	"fmt"

	"github.com/memlab-go/memlab/alloc/segregated"
)

// compactCache keeps values off the Go heap, each behind its key, and lets the heap
// move them from time to time.
type compactCache struct {
	h      *segregated.Heap
	values map[uint32][]byte
	put    int // bytes since the last Compact
}

// compactEvery is after how many bytes the cache calls Compact.
const compactEvery = 256 << 10

func (c *compactCache) Put(key uint32, value []byte) error {
	b, err := c.h.Malloc(4 + len(value))
	if err != nil {
		return err
	}
	binary.LittleEndian.PutUint32(b, key)
	copy(b[4:], value)
	c.h.Free(c.values[key])
	c.values[key] = b
	if c.put += len(b); c.put < compactEvery {
		return nil
	}
	c.put = 0
	_, err = c.h.Compact(compactEvery/2, c.move)
	return err
}

// move finds what refers to a block by the key in it. To views of a value that were
// handed out before, it is as if the value had been freed.
func (c *compactCache) move(from, to []byte) bool {
	key := binary.LittleEndian.Uint32(to)
	c.values[key] = to[:len(c.values[key])]
	return true
}

func (c *compactCache) Get(key uint32) []byte { return c.values[key][4:] }

func (c *compactCache) Delete(key uint32) {
	c.h.Free(c.values[key])
	delete(c.values, key)
}

// A cache that keeps itself compact: of its small values few are left, all over the
// heap, when those of another size arrive, which fit no hole between them. Without
// Compact the heap would grow to nearly twice its size.
func ExampleHeap_Compact() {
	h, err := segregated.New(nil, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer h.Close() // its error tells of the values that are left
	c := &compactCache{h: h, values: map[uint32][]byte{}}
	for key := range uint32(40_000) {
		if err := c.Put(key, make([]byte, 200)); err != nil {
			fmt.Println(err)
			return
		}
	}
	full := h.Stats().Committed
	for key := range uint32(40_000) {
		if key%8 != 0 {
			c.Delete(key)
		}
	}
	for key := range uint32(3_500) {
		if err := c.Put(100_000+key, make([]byte, 2000)); err != nil {
			fmt.Println(err)
			return
		}
	}
	s := h.Stats()
	fmt.Println("live blocks:", s.LiveBlocks)
	fmt.Println("the heap has grown by a tenth at most:", s.Committed < full+full/10)
	fmt.Println("values:", len(c.Get(8)), len(c.Get(100_000)))
	// Output:
	// live blocks: 8500
	// the heap has grown by a tenth at most: true
	// values: 200 2000
}
