package fit_test

import (
	"errors"
	"fmt"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/alloc/fit"
	"github.com/memlab-go/memlab/arena"
)

// small returns a region of 512 bytes at the start of a page.
func small() *arena.Region {
	r, err := arena.Reserve(512, &arena.Options{Backing: arena.GoHeap})
	if err != nil {
		panic(err)
	}
	return r
}

func ExampleNew() {
	h, err := fit.New(nil, nil) // a region of its own, first fit
	if err != nil {
		panic(err)
	}
	defer h.Close()
	b, err := h.Malloc(40)
	if err != nil {
		panic(err)
	}
	copy(b, "off the Go heap")
	fmt.Println(len(b), cap(b), h.Usable(b))
	h.Free(b)
	fmt.Println(alloc.Try(func() { h.Free(b) }) != nil)
	// Output:
	// 40 40 40
	// true
}

func ExampleHeap() {
	h, err := fit.New(small(), &fit.Options{Limit: 512, Policy: fit.Best, Order: fit.Address})
	if err != nil {
		panic(err)
	}
	var blocks [3][]byte
	for i, n := range []int{24, 100, 40} {
		blocks[i], _ = h.Malloc(n)
	}
	h.Free(blocks[1])
	fmt.Println(alloc.Map(h, 64))
	_, err = h.Malloc(1000)
	fmt.Println(err, errors.Is(err, alloc.ErrNoMemory))
	// Output:
	// |##|.......|###|...................|  used 2  free 2  largest 0x130  (one mark: 16 bytes)
	// alloc: malloc 1000 bytes: out of memory (limit 512, largest free block 304) true
}

func ExampleBuddy() {
	h, err := fit.NewBuddy(small(), &fit.Options{Limit: 512})
	if err != nil {
		panic(err)
	}
	a, _ := h.Malloc(33)
	fmt.Println(h.Usable(a), h.Stats().Requested)
	// Output:
	// 56 33
}

func ExampleOSTEP() {
	h, err := fit.NewOSTEP(fit.OSTEPOptions{Policy: fit.Best, Order: fit.Address, Size: 100, Base: 1000})
	if err != nil {
		panic(err)
	}
	a, searched := h.Malloc(3)
	fmt.Println(a, searched, h.FreeList())
	h.Free(a)
	fmt.Println(h.FreeList()) // malloc.py does not coalesce unless asked to
	// Output:
	// 1000 1 [{1003 97}]
	// [{1000 3} {1003 97}]
}
