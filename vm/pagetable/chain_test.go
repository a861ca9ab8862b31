package pagetable_test

import (
	"testing"
	"time"

	"github.com/memlab-go/memlab/vm"
	"github.com/memlab-go/memlab/vm/pagetable"
	"github.com/stretchr/testify/require"
)

// hashTables returns a table of each kind that is made of chains, for frames from
// 0x8_0000 on.
func hashTables(t *testing.T) map[string]vm.Mapper {
	mem, err := vm.NewMemory(make([]byte, 1<<20), 0)
	require.NoError(t, err)
	h, err := pagetable.NewHashed(mem, 0x1000, 4, 64)
	require.NoError(t, err)
	inv, err := pagetable.NewInverted(mem, 0x4000, 4, 0x8_0000, 64)
	require.NoError(t, err)
	return map[string]vm.Mapper{"hashed": h, "inverted": inv.Space(7)}
}

// TestChainEvents: a walk reports the nodes it reads, and nothing else does.
func TestChainEvents(t *testing.T) {
	for name, table := range hashTables(t) {
		t.Run(name, func(t *testing.T) {
			events := 0
			table.(vm.Emitter).SetEvents(func(e vm.Event) {
				require.Equal(t, vm.EventStep, e.Kind)
				events++
			})
			require.NoError(t, table.Map(0x5000, 0x8_0000, 0x8000, 0, vm.PermR|vm.PermW|vm.PermU))
			require.Error(t, table.Map(0x5000, 0x8_0000, 0x1000, 0, vm.PermR|vm.PermU), "mapped already")
			require.NoError(t, table.Protect(0x5000, 0x2000, vm.PermR|vm.PermU))
			require.NoError(t, table.Unmap(0x5000, 0x1000))
			_, f := table.Probe(0x6000)
			require.Nil(t, f)
			_, f = table.(vm.DryWalker).WalkDry(0x6000, vm.Read|vm.User)
			require.Nil(t, f)
			require.Zero(t, events)
			_, f = table.Walk(0x6000, vm.Read|vm.User)
			require.Nil(t, f)
			require.NotZero(t, events)
		})
	}
}

// TestChainMappings: a table shows its mappings as they are at one moment, which is
// not one amid a walk, and may be changed while they are looked at.
func TestChainMappings(t *testing.T) {
	for name, table := range hashTables(t) {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, table.Map(0x5000, 0x8_0000, 0x8000, 0, vm.PermR|vm.PermU))
			n := 0
			for e := range table.Mappings() {
				require.NoError(t, table.Unmap(e.Page, 0x1000))
				n++
			}
			require.Equal(t, 8, n)

			require.NoError(t, table.Map(0x5000, 0x8_0000, 0x1000, 0, vm.PermR|vm.PermU))
			walking, looked := make(chan bool), make(chan int)
			table.(vm.Emitter).SetEvents(func(vm.Event) {
				close(walking)
				select {
				case <-looked:
					t.Error("the mappings were read amid a walk")
				case <-time.After(20 * time.Millisecond):
				}
			})
			go func() {
				<-walking
				n := 0
				for range table.Mappings() {
					n++
				}
				looked <- n
			}()
			_, f := table.Walk(0x5000, vm.Read|vm.User)
			require.Nil(t, f)
			require.Equal(t, 1, <-looked)
		})
	}
}
