package segregated_test

import (
	"errors"
	"fmt"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/alloc/segregated"
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
