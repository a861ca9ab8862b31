package segregated_test

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/alloc/segregated"
	"github.com/memlab-go/memlab/arena"
)

// A heap of one's own in three lines; a double free is an error with a name.
func ExampleHeap() {
	h, err := segregated.New(nil, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer h.Close()

	b, _ := h.Malloc(40)
	copy(b, "off the Go heap")
	fmt.Println(string(b[:15]), len(b), cap(b), h.Usable(b))

	h.Free(b)
	err = alloc.Try(func() { h.Free(b) })
	fmt.Println(errors.Is(err, alloc.ErrDoubleFree))
	// Output:
	// off the Go heap 40 40 48
	// true
}

// A byte limit is kept, and the heap stays usable.
func ExampleOptions() {
	h, err := segregated.New(nil, &segregated.Options{Limit: 1 << 20})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer h.Close()
	_, err = h.Malloc(2 << 20)
	fmt.Println(errors.Is(err, alloc.ErrNoMemory))
	b, err := h.Calloc(1000, 100)
	fmt.Println(len(b), err)
	h.Free(b)
	// Output:
	// true
	// 100000 <nil>
}

// Realloc grows the last block where it is.
func ExampleHeap_Realloc() {
	h, err := segregated.New(nil, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer h.Close()
	b, _ := h.Malloc(5000)
	c, _ := h.Realloc(b, 50000)
	fmt.Println(len(c), &b[0] == &c[0])
	h.Free(c)
	// Output: 50000 true
}

// Blocks shows the heap as it is; alloc.Map draws it.
func ExampleHeap_Blocks() {
	h, err := segregated.New(nil, &segregated.Options{Classes: []int{}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer h.Close()
	a, _ := h.Malloc(64)
	b, _ := h.Malloc(96)
	c, _ := h.Malloc(32)
	h.Free(b)
	for block := range h.Blocks() {
		fmt.Println(block.Size, block.Used)
	}
	fmt.Println(alloc.Map(h, 40))
	h.Free(a)
	h.Free(c)
	// Output:
	// 64 true
	// 96 false
	// 64 true
	// |####|......|####|  used 2  free 1  largest 0x60  (one mark: 16 bytes)
}

// MallocAligned gives blocks for direct input and output, or a cache line each.
func ExampleHeap_MallocAligned() {
	h, err := segregated.New(nil, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer h.Close()
	b, err := h.MallocAligned(1000, 4096)
	fmt.Println(len(b), err)
	h.Free(b)
	_, err = h.MallocAligned(1000, 3)
	fmt.Println(err)
	// Output:
	// 1000 <nil>
	// alloc: malloc: bad alignment
}

// Trim gives back what no block needs, for a program that is about to be idle.
func ExampleHeap_Trim() {
	h, err := segregated.New(nil, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer h.Close()
	var blocks [][]byte
	for range 1000 {
		b, _ := h.Malloc(2000)
		blocks = append(blocks, b)
	}
	for _, b := range blocks {
		h.Free(b)
	}
	h.Trim()
	fmt.Println(h.Stats().Live, h.Stats().Retained)
	// Output: 0 0
}

// In mode Checked a write past the end is found by Free, to the byte, and the
// heap knows what was asked for.
func ExampleOptions_checked() {
	region, err := arena.Reserve(1<<20, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer region.Close()
	h, err := segregated.New(region, &segregated.Options{Mode: segregated.Checked})
	if err != nil {
		fmt.Println(err)
		return
	}
	b, _ := h.Malloc(40)
	off := h.Offset(b)
	region.Bytes()[int(off)+41] ^= 1 // what a bug with an index would do

	err = alloc.Try(func() { h.Free(b) })
	fmt.Println(errors.Is(err, alloc.ErrOverflow))
	if f, ok := errors.AsType[*alloc.Fault](err); ok {
		fmt.Println("byte", f.At, "of a block of", f.Block.Size)
	}
	fmt.Println(h.Stats().Requested)
	// Output:
	// true
	// byte 41 of a block of 40
	// 40
}

// WriteProfile shows which places hold memory: go tool pprof heap.pb.gz.
func ExampleHeap_WriteProfile() {
	h, err := segregated.New(nil, &segregated.Options{ProfileRate: 1}) // 512 << 10 costs less
	if err != nil {
		fmt.Println(err)
		return
	}
	defer h.Close()
	b, _ := h.Malloc(1000)
	var profile bytes.Buffer
	fmt.Println(h.WriteProfile(&profile), profile.Len() > 100)
	h.Free(b)
	// Output: <nil> true
}

// The size classes are data: these suit a program of 24-byte and 72-byte records.
func ExampleDefaultClasses() {
	classes := segregated.DefaultClasses()
	fmt.Println(len(classes), classes[0], classes[len(classes)-1])
	h, err := segregated.New(nil, &segregated.Options{Classes: []int{32, 80}})
	fmt.Println(err, h.Close())
	// Output:
	// 62 8 2048
	// <nil> <nil>
}
