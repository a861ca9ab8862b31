package lsm

import (
	"errors"
	"flag"
	"math/bits"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/arena"
	"github.com/memlab-go/memlab/arena/arenatest"
	"github.com/memlab-go/memlab/lsm/vfs"
)

// backingFlag says where the memory of the tests' small stores comes from: mmap,
// goheap, guard (mmap with an inaccessible page on either side of each region) or
// sparse. By default mmap, and goheap under the race detector, which sees nothing
// else.
var backingFlag = flag.String("backing", "", "memory of the tests' small stores: mmap, goheap, guard or sparse")

// backings are the names that backingFlag takes here.
func backings() []string {
	names := []string{"mmap", "goheap", "guard", "sparse"}
	if bits.UintSize == 32 {
		return names[:3]
	}
	return names
}

// setBacking gives o the memory of this name.
func (o *Options) setBacking(name string) {
	switch name {
	case "goheap":
		o.Backing = arena.GoHeap
	case "guard":
		o.guard = true
	case "sparse":
		o.Backing, o.pager = arena.Sparse, arenatest.New()
	case "mmap":
	default:
		panic("no backing " + name)
	}
}

// testBacking gives o the memory that the tests run on.
func (o *Options) testBacking() *Options {
	switch {
	case *backingFlag != "":
		o.setBacking(*backingFlag)
	case raceEnabled:
		o.setBacking("goheap")
	}
	return o
}

// TestMemoryFails makes every call for memory fail, in turn: the store says so, what
// was acknowledged stays, and no mapping is left.
func TestMemoryFails(t *testing.T) {
	h := crashHistory()
	n := arenatest.Sweep(t, arenatest.ErrInjected, func(p *arenatest.Pager) (err error) {
		o := small(vfs.NewMem())
		o.Backing, o.guard, o.pager = arena.Mmap, true, p
		d, err := Open("db", o)
		if err != nil {
			return err
		}
		acked := 0
		for i := 1; i <= 120 && err == nil; i++ {
			var b Batch
			h.add(&b, i)
			if i == 60 {
				b.Put([]byte("large"), make([]byte, 20<<10)) // a memtable of its own
				b.Delete([]byte("large"))
			}
			if err = d.Apply(&b, nil); err == nil {
				acked = i
			}
		}
		require.Equal(t, acked, h.check(t, d))
		return errors.Join(err, d.Close())
	}, arenatest.Map, arenatest.Protect)
	require.Greater(t, n, 3, "too few calls for memory were there to fail")
}
