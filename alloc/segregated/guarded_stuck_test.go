package segregated

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/arena"
	"github.com/memlab-go/memlab/arena/arenatest"
)

// TestGuardsThatCannotBeMade: when the second guard page of a block cannot be made, and the
// limit refuses the first one's memory, the span is kept, and none of it counts as live.
func TestGuardsThatCannotBeMade(t *testing.T) {
	for k := 1; k <= 6; k++ {
		t.Run(fmt.Sprint(k), func(t *testing.T) {
			p := arenatest.New()
			h := freshIn(t, 1<<20, &arena.Options{Pager: p}, &Options{
				Mode: Guarded, Seed: 1, Quarantine: -1, Guard: GuardOptions{Every: 1, Mappings: 100},
			})
			if h.region.Backing() != arena.Mmap {
				t.Skip("no guard pages")
			}
			h.Free(must(t, h, 100))
			h.limit = h.committed
			p.FailAt(k, nil, arenatest.Advise, arenatest.Protect)
			b, err := h.Malloc(100)
			p.FailAt(0, nil)
			h.limit = 0
			if err == nil {
				h.Free(b)
			}
			require.NoError(t, h.Check())
			require.Zero(t, h.Stats().LiveBlocks)
			require.Zero(t, h.Stats().Live)
		})
	}
}
