package table

import (
	"fmt"

	"github.com/memlab-go/memlab/lsm/internal/corrupt"
	"github.com/memlab-go/memlab/lsm/internal/keys"
)

// RangeDeletes calls each with every range tombstone of the table, by ascending
// start and, for one start, from the newest to the oldest. The slices live as long
// as the Reader. The error is a [*corrupt.Error].
func (r *Reader) RangeDeletes(each func(start, end []byte, seq keys.SeqNum)) error {
	if r.rangeDels == nil {
		return nil
	}
	var it blockIter
	if err := it.init(r.rangeDels, r.cmp); err != nil {
		return &corrupt.Error{File: r.name, Kind: corrupt.RangeBlock, Off: -1, Err: err}
	}
	for ok := it.first(); ok; ok = it.next() {
		if !keys.Valid(it.key) || keys.KindOf(it.key) != keys.KindRangeDelete {
			return corrupt.New(r.name, corrupt.RangeBlock, -1, "%s is no range tombstone", keys.Format(it.key))
		}
		start := append([]byte{}, keys.User(it.key)...)
		if r.cmp.Compare(start, it.val) >= 0 {
			return corrupt.New(r.name, corrupt.RangeBlock, -1, "range from %q to %q is empty", start, it.val)
		}
		each(start, it.val, keys.SeqOf(it.key))
	}
	if it.err != nil {
		return &corrupt.Error{File: r.name, Kind: corrupt.RangeBlock, Off: -1, Err: fmt.Errorf("range tombstones: %w", it.err)}
	}
	return nil
}
