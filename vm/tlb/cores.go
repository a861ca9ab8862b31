package tlb

import (
	"fmt"

	"github.com/memlab-go/memlab/vm"
)

// Cores are the TLBs of several cores that share memory. A change of a page table
// is seen by a core only after its own TLB was flushed, which is what a shootdown
// is for: the core that changed it flushes, interrupts the others, and waits for
// all of them.
//
// Not safe for concurrent use.
type Cores struct {
	tlbs  []*TLB
	stats ShootdownStats
	cost  Cost
}

// ShootdownStats is what shootdowns counted.
type ShootdownStats struct {
	Shootdowns int64 `json:"shootdowns"`
	IPIs       int64 `json:"ipis"`    // interrupts sent: one for each other core
	Dropped    int64 `json:"dropped"` // translations dropped, all cores together
	Cycles     int64 `json:"cycles"`  // Cost.Flush for each core flushed, Cost.IPI for each interrupt
}

// NewCores returns n cores of the same shape.
func NewCores(n int, c Config) (*Cores, error) {
	if n < 1 {
		return nil, geometry("%d cores", n)
	}
	cs := &Cores{cost: c.Cost}
	for range n {
		t, err := New(c)
		if err != nil {
			return nil, err
		}
		cs.tlbs = append(cs.tlbs, t)
	}
	return cs, nil
}

// Len returns the number of cores.
func (c *Cores) Len() int { return len(c.tlbs) }

// Core returns the TLB of core i.
func (c *Cores) Core(i int) *TLB { return c.tlbs[i] }

// Stats returns what shootdowns counted so far.
func (c *Cores) Stats() ShootdownStats { return c.stats }

// Shootdown flushes f on core from and on the cores others, or on all others if
// that is nil, and returns how many translations were dropped. A core that is
// left out keeps its stale translations: right if it never ran the address
// space, a bug if it did. Naming from, or a core twice, changes nothing.
func (c *Cores) Shootdown(from int, f vm.Flush, others []int) int {
	targets := make([]bool, len(c.tlbs))
	for i := range targets {
		targets[i] = others == nil
	}
	for _, i := range others {
		targets[i] = true
	}
	n := c.tlbs[from].Flush(f)
	c.stats.Shootdowns++
	c.stats.Cycles += int64(c.cost.Flush)
	for i, hit := range targets {
		if !hit || i == from {
			continue
		}
		n += c.tlbs[i].Flush(f)
		c.stats.IPIs++
		c.stats.Cycles += int64(c.cost.IPI + c.cost.Flush)
	}
	c.stats.Dropped += int64(n)
	return n
}

// String says how many cores there are and of what shape.
func (c *Cores) String() string {
	return fmt.Sprintf("%d cores with %s", len(c.tlbs), c.tlbs[0].conf.Name)
}
