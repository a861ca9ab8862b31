package segregated

import (
	"testing"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/alloc/alloctest"
	"github.com/memlab-go/memlab/arena"
)

// FuzzOps runs any list of operations under the oracle.
func FuzzOps(f *testing.F) {
	f.Add([]byte("\x00\x01\x02\x03\x10\x20\x30\x40malloc free realloc"))
	f.Add([]byte("!\x01\x02\x03\x10\x20\x30\x40malloc free realloc"))
	f.Fuzz(func(t *testing.T, data []byte) {
		o := Options{Seed: 1}
		if len(data) > 0 && data[0]&1 != 0 {
			o.Mode, o.Quarantine = Checked, int(data[0])<<6
		}
		h := fresh(t, 2<<20, &o)
		if err := alloctest.Run(h, alloctest.DecodeOps(data), 8); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzAttack flips bits in the heap's memory between operations: faults and
// errors may follow, but no other panic.
func FuzzAttack(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(func(t *testing.T, seed uint64) { attack(t, Mode(seed%2), seed, 300) })
}

// TestAttack is FuzzAttack for a few seeds.
func TestAttack(t *testing.T) {
	for _, m := range []Mode{Fast, Checked} {
		noticed := 0
		for seed := range uint64(20) {
			noticed += attack(t, m, seed, 1000)
		}
		if noticed == 0 {
			t.Errorf("%v: no heap noticed that it was damaged", m)
		}
	}
}

func attack(t *testing.T, m Mode, seed uint64, steps int) int {
	return alloctest.Attack(t, func() (alloc.Allocator, []byte) {
		mem := make([]byte, 64<<10)
		h, err := New(arena.FromBytes(mem), &Options{Mode: m, Seed: seed + 1})
		if err != nil {
			t.Fatal(err)
		}
		return h, mem
	}, seed, steps)
}
