//lint:file-ignore U1000 fields that only reflection looks at

package alloc_test

import (
	"errors"
	"fmt"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/alloc/alloctest"
)

func ExampleNew() {
	heap := alloctest.Reference(0) // any allocator
	type point struct{ X, Y float64 }
	p, err := alloc.New[point](heap)
	if err != nil {
		panic(err)
	}
	p.X = 3
	fmt.Println(*p)
	alloc.Delete(heap, p)
	// Output: {3 0}
}

func ExampleAppend() {
	heap := alloctest.Reference(0)
	var squares []int
	for i := range 5 {
		var err error
		if squares, err = alloc.Append(heap, squares, i*i); err != nil {
			panic(err)
		}
	}
	fmt.Println(squares)
	alloc.DeleteSlice(heap, squares)
	// Output: [0 1 4 9 16]
}

func ExampleFor() {
	heap := alloctest.Reference(0)
	counters := alloc.For[uint64](heap)
	n, err := counters.New()
	if err != nil {
		panic(err)
	}
	*n++
	fmt.Println(*n)
	counters.Delete(n)
	// Output: 1
}

func ExampleTyped() {
	defer func() { fmt.Println(recover()) }()
	type node struct {
		Key  int
		Next *node
	}
	alloc.For[node](alloctest.Reference(0))
	// Output: alloc: For[node]: field Next has a pointer
}

func ExampleTry() {
	heap := alloctest.Reference(0)
	b, _ := heap.Malloc(40)
	heap.Free(b)
	err := alloc.Try(func() { heap.Free(b) })
	fmt.Println(errors.Is(err, alloc.ErrDoubleFree))
	// Output: true
}

func ExampleFault() {
	err := error(&alloc.Fault{Op: "free", Off: 0x40, InRegion: true, Err: alloc.ErrDoubleFree})
	if f, ok := errors.AsType[*alloc.Fault](err); ok {
		fmt.Println(f.Op, f.Off, f)
	}
	// Output: free 64 alloc: free 0x40: block already free
}

func ExampleNoMemoryError() {
	heap := alloctest.Reference(1000)
	_, err := heap.Malloc(4000)
	if nm, ok := errors.AsType[*alloc.NoMemoryError](err); ok {
		fmt.Println(nm.Requested, nm.Limit, nm.LargestFree)
	}
	// Output: 4000 1000 1000
}

func ExampleLockedAllocator() {
	heap := alloc.Locked(alloctest.Reference(0)) // for many goroutines
	done := make(chan bool)
	for range 4 {
		go func() {
			b, _ := heap.Malloc(100)
			heap.Free(b)
			done <- true
		}()
	}
	for range 4 {
		<-done
	}
	fmt.Println(heap.Stats().Mallocs, heap.Stats().LiveBlocks)
	// Output: 4 0
}

func ExampleLeakError() {
	heap := alloctest.Reference(0)
	heap.Malloc(100)
	err := heap.Close()
	if leak, ok := errors.AsType[*alloc.LeakError](err); ok {
		fmt.Println(leak.Blocks, leak.Bytes)
	}
	// Output: 1 100
}

func ExampleStats() {
	heap := alloctest.Reference(0)
	heap.Malloc(100)
	s := heap.Stats()
	fmt.Println(s.LiveBlocks, s.Live, s.InternalFragmentation())
	// Output: 1 100 0
}

func ExampleEvent() {
	var sink alloc.Sink = func(e alloc.Event) { fmt.Println(e.Kind == alloc.EventMalloc, e.Off, e.Size) }
	sink(alloc.Event{Kind: alloc.EventMalloc, Off: 16, Size: 40, Usable: 48}) // a heap does this
	// Output: true 16 40
}
