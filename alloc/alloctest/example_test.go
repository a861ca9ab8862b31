package alloctest_test

import (
	"errors"
	"fmt"
	"os"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/alloc/alloctest"
)

// An Oracle drives an allocator by block numbers and checks each answer.
func ExampleOracle() {
	o := alloctest.NewOracle(alloctest.Reference(0))
	for _, op := range []alloctest.Op{
		{Kind: alloctest.OpMalloc, ID: 1, Size: 100},
		{Kind: alloctest.OpCalloc, ID: 2, Count: 10, Size: 8},
		{Kind: alloctest.OpRealloc, ID: 1, Size: 300},
		{Kind: alloctest.OpFree, ID: 2},
	} {
		if err := o.Do(op); err != nil {
			fmt.Println(err)
		}
	}
	fmt.Println(o.Live(), o.Requested(), o.FreeAll())
	// Output: 1 300 <nil>
}

// A careless allocator hands out one block twice.
type careless struct {
	alloc.Allocator
	last []byte
}

func (c *careless) Malloc(size int) ([]byte, error) {
	if c.last != nil && len(c.last) == size {
		return c.last, nil
	}
	b, err := c.Allocator.Malloc(size)
	c.last = b
	return b, err
}

// Random operations find a fault, Minimize shows what it takes.
func ExampleMinimize() {
	fails := func(ops []alloctest.Op) bool {
		heap := &careless{Allocator: alloctest.Reference(0)}
		var v *alloctest.Violation
		return errors.As(alloctest.Run(heap, ops, 1), &v)
	}
	ops := []alloctest.Op{
		{Kind: alloctest.OpMalloc, ID: 1, Size: 10},
		{Kind: alloctest.OpMalloc, ID: 2, Size: 20},
		{Kind: alloctest.OpFree, ID: 1},
		{Kind: alloctest.OpMalloc, ID: 3, Size: 20},
		{Kind: alloctest.OpMalloc, ID: 4, Size: 30},
	}
	short := alloctest.Minimize(ops, fails)
	alloctest.WriteRep(os.Stdout, short)
	// Output:
	// 40
	// 4
	// 2
	// 1
	// a 2 20
	// a 3 20
}

// Each allocation of a piece of code is made to fail in turn.
func ExampleFailing() {
	work := func(a alloc.Allocator) error {
		x, err := a.Malloc(10)
		if err != nil {
			return err
		}
		defer a.Free(x)
		y, err := a.Malloc(20)
		if err != nil {
			return err
		}
		a.Free(y)
		return nil
	}
	for n := 1; ; n++ {
		heap := alloctest.Reference(0)
		f := alloctest.Failing(heap, n)
		err := work(f)
		fmt.Println(n, errors.Is(err, alloc.ErrNoMemory), heap.Stats().LiveBlocks)
		if !f.Failed() {
			break
		}
	}
	// Output:
	// 1 true 0
	// 2 true 0
	// 3 false 0
}

func ExampleReferenceAllocator() {
	heap := alloctest.Reference(1000)
	b, _ := heap.Malloc(600)
	_, err := heap.Malloc(600)
	fmt.Println(err)
	heap.Free(b)
	fmt.Println(heap.Stats().LiveBlocks)
	// Output:
	// alloc: malloc 600 bytes: out of memory (limit 1000, largest free block 400)
	// 0
}
