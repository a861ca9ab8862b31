package replace

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/memlab-go/memlab/vm"
)

// TestWSClockLarge compares with the frame-by-frame clock in a memory of more
// than 64 × 64 frames, where the summaries of words take several words
// themselves, with few and with mostly dirty pages.
func TestWSClockLarge(t *testing.T) {
	const frames, pages = 64*64 + 70, 5200
	for _, c := range []struct{ tau, dirty int }{{300, 20}, {2000, 60}, {1 << 20, 90}} {
		rng := rand.New(rand.NewPCG(uint64(c.tau), 1))
		var refs []Ref
		for i := range frames + 2500 {
			p := i
			if i >= frames {
				p = rng.IntN(pages)
			}
			refs = append(refs, MakeRef(vm.PageID(p), rng.IntN(100) < c.dirty))
		}
		compareNaive(t, fmt.Sprintf("WSCLOCK:tau=%d", c.tau), &naiveWSClock{n: frames, tau: c.tau}, frames, refs)
	}
}
