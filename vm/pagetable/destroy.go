package pagetable

import (
	"maps"
	"slices"

	"github.com/memlab-go/memlab/vm"
)

// Destroy gives the frames of all tables that were taken from the frame source
// back to it, the root too; see [vm.Destroyer]. The pages that were mapped are
// the caller's. The table must not be used afterwards. O(tables).
func (t *Table) Destroy() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.seq.Add(1)
	for _, pa := range slices.Sorted(maps.Keys(t.owned)) {
		t.freeTable(pa)
	}
	t.seq.Add(1)
}

var _ vm.Destroyer = (*Table)(nil)
