package replace_test

import (
	"fmt"
	"slices"

	"github.com/memlab-go/memlab/vm"
	"github.com/memlab-go/memlab/vm/replace"
)

// number turns page numbers into numbered references.
func number(pages ...uint64) []replace.Ref {
	var table replace.Pages
	var refs []replace.Ref
	for _, p := range pages {
		refs = append(refs, replace.MakeRef(table.Number(p), false))
	}
	return refs
}

func ExampleSim() {
	refs := number(1, 2, 3, 4, 1, 2, 5, 1, 2, 3, 4, 5)
	for _, frames := range []int{3, 4} {
		sim := replace.NewSim(replace.NewFIFO(), frames)
		if err := sim.Run(refs); err != nil {
			fmt.Println(err)
		}
		fmt.Println(frames, "frames:", sim.Counts().Misses, "faults")
	}
	// Output:
	// 3 frames: 9 faults
	// 4 frames: 10 faults
}

// mine is a policy of one's own: first in, first out.
type mine struct{ queue []vm.PageID }

func (f *mine) Hit(vm.PageID, bool)        {}
func (f *mine) Insert(p vm.PageID, _ bool) { f.queue = append(f.queue, p) }
func (f *mine) Remove(p vm.PageID) {
	f.queue = slices.DeleteFunc(f.queue, func(q vm.PageID) bool { return q == p })
}
func (f *mine) Victim(vm.PageID) (v vm.PageID, ok bool) {
	if len(f.queue) == 0 {
		return 0, false
	}
	v, f.queue = f.queue[0], f.queue[1:]
	return v, true
}

func ExampleNewSim_policyOfOnesOwn() {
	sim := replace.NewSim(&mine{}, 3)
	err := sim.Run(number(1, 2, 3, 4, 1, 2, 5, 1, 2, 3, 4, 5))
	fmt.Println(sim.Counts().Misses, err)
	// Output: 9 <nil>
}

// counted is LRU that counts what it hears.
type counted struct {
	*replace.LRU
	hits, loads int
}

func (c *counted) Hit(p vm.PageID, write bool)    { c.hits++; c.LRU.Hit(p, write) }
func (c *counted) Insert(p vm.PageID, write bool) { c.loads++; c.LRU.Insert(p, write) }

// A policy may embed another one and have some methods in place of its.
func ExampleNewSim_embedding() {
	lru := &counted{LRU: replace.NewLRU()}
	sim := replace.NewSim(lru, 2)
	err := sim.Run(number(1, 2, 1, 3, 1, 2))
	fmt.Println(lru.hits, "hits,", lru.loads, "loads,", err)
	// Output: 2 hits, 4 loads, <nil>
}

func ExampleNew() {
	refs := number(7, 0, 1, 2, 0, 3, 0, 4, 2, 3, 0, 3, 2, 1, 2, 0, 1, 7, 0, 1)
	future, _ := replace.NewFuture(refs)
	for _, name := range []string{"FIFO", "LRU", "OPT"} {
		policy, err := replace.New(name, replace.Config{Frames: 3, Future: future})
		if err != nil {
			fmt.Println(err)
			return
		}
		sim := replace.NewSim(policy, 3)
		sim.Run(refs)
		fmt.Println(name, sim.Counts().Misses)
	}
	// Output:
	// FIFO 15
	// LRU 12
	// OPT 9
}

func ExampleLRUCurve() {
	curve := replace.NewLRUCurve()
	curve.Add(number(1, 2, 3, 1, 2, 3, 1, 2, 3))
	fmt.Println("misses by frames, from 0:", curve.Histogram().Curve())
	// Output: misses by frames, from 0: [9 9 9 3]
}

func ExampleOPTCurve() {
	curve := replace.NewOPTCurve()
	curve.Add(number(1, 2, 3, 1, 2, 3, 1, 2, 3))
	fmt.Println("misses by frames, from 0:", curve.Histogram().Curve())
	// Output: misses by frames, from 0: [9 9 6 3]
}

func ExampleBeladyAnomalies() {
	found, _ := replace.BeladyAnomalies("FIFO", number(1, 2, 3, 4, 1, 2, 5, 1, 2, 3, 4, 5), 5)
	for _, a := range found {
		fmt.Printf("%d frames: %d faults, %d frames: %d faults\n", a.Frames, a.Misses, a.Frames+1, a.MoreMisses)
	}
	// Output: 3 frames: 9 faults, 4 frames: 10 faults
}

func ExampleOSTEPRefs() {
	fmt.Println(replace.OSTEPRefs(0, 10, 10)) // paging-policy.py -s 0
	// Output: [8 7 4 2 5 4 7 3 4 5]
}

func ExamplePages_Refs() {
	var pages replace.Pages
	accs := []replace.Access{replace.MakeAccess(0x7f3a1, false), replace.MakeAccess(0x401, true), replace.MakeAccess(0x7f3a1, true)}
	refs := make([]replace.Ref, len(accs))
	pages.Refs(accs, refs)
	for _, r := range refs {
		fmt.Println(r.Page(), r.Write())
	}
	// Output:
	// 0 false
	// 1 true
	// 0 true
}

func ExampleWorkingSetSize() {
	ws := replace.NewWorkingSetSize(4)
	for _, r := range number(1, 1, 2, 1, 3, 4, 5, 6) {
		fmt.Print(ws.Add(r), " ")
	}
	// Output: 1 1 2 2 3 4 4 4
}
