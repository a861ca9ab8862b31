package replace_test

import (
	"fmt"

	"github.com/memlab-go/memlab/vm"
	"github.com/memlab-go/memlab/vm/replace"
)

func pageOf(i int) vm.PageID { return vm.PageID(i) }

// A process that loops over 5 pages and then over 2 needs fewer frames.
func ExampleWorkingSetQuota() {
	q := replace.NewWorkingSetQuota(20, 1, 0)
	for i := range 40 {
		q.Reference(pageOf(i%5), i < 5)
	}
	fmt.Println(q.Frames())
	for i := range 40 {
		q.Reference(pageOf(i%2), false)
	}
	fmt.Println(q.Frames())
	// Output:
	// 5
	// 2
}

// Faults in quick succession add frames; a late one leaves as many as were used
// since the one before.
func ExamplePFFQuota() {
	q := replace.NewPFFQuota(10, 2, 0)
	for i := range 6 {
		q.Reference(pageOf(i), true)
	}
	fmt.Println(q.Frames())
	for i := range 30 {
		q.Reference(pageOf(i%3), false)
	}
	q.Reference(pageOf(9), true)
	fmt.Println(q.Frames())
	// Output:
	// 8
	// 5
}
