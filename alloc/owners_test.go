package alloc_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/alloc/segregated"
	"github.com/memlab-go/memlab/arena"
)

// still returns memory that does not move, as what is on a stack does.
func still(t *testing.T) []byte {
	r, err := arena.Reserve(1<<16, &arena.Options{Backing: arena.GoHeap})
	require.NoError(t, err)
	t.Cleanup(func() { r.Close() })
	return r.Bytes()
}

func TestOwners(t *testing.T) {
	var o alloc.Owners
	mem := still(t)[:100]
	require.Empty(t, o.Of(mem))
	outer := o.Add("outer", mem[:90])
	inner := o.Add("inner", mem[10:20])
	for i, want := range map[int]string{0: "outer", 9: "outer", 10: "inner", 19: "inner", 20: "outer", 89: "outer", 90: "", 99: ""} {
		require.Equal(t, want, o.Of(mem[i:]), "byte %d", i)
	}
	inner()
	require.Equal(t, "outer", o.Of(mem[10:10]), "it need not have bytes")
	inner() // twice does nothing
	outer()
	require.Empty(t, o.Of(mem[10:]))

	var nobody *alloc.Owners
	nobody.Add("x", mem)()
	require.Empty(t, nobody.Of(mem))
}

func TestOwnersConcurrent(t *testing.T) {
	var o alloc.Owners
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			mem := still(t)[:64]
			for range 1000 {
				remove := o.Add(fmt.Sprint(i), mem)
				if got := o.Of(mem[63:]); got != fmt.Sprint(i) {
					t.Errorf("%q, want %d", got, i)
				}
				remove()
			}
		})
	}
	wg.Wait()
}

// A block that goes to the wrong heap is said to be that of the other one.
func ExampleOwners() {
	var owners alloc.Owners
	cache, _ := segregated.New(nil, &segregated.Options{Owners: &owners, Name: "cache"})
	defer cache.Close()
	index, _ := segregated.New(nil, &segregated.Options{Owners: &owners, Name: "index"})
	defer index.Close()

	b, _ := cache.Malloc(100)
	err := alloc.Try(func() { index.Free(b) })
	fmt.Println(err.(*alloc.Fault).Err, "but of the", err.(*alloc.Fault).Owner)
	cache.Free(b)
	// Output: address not of this allocator but of the cache
}
