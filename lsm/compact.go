package lsm

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"time"

	"github.com/memlab-go/memlab/lsm/internal/keys"
	"github.com/memlab-go/memlab/lsm/internal/manifest"
)

// maxGrandparents bounds, in target file sizes, how many bytes of the level below
// its own an output may overlap, since a later compaction has to rewrite them.
const maxGrandparents = 10

// A compaction merges files of a level with those of the next that share keys
// with them.
type compaction struct {
	level  int            // of inputs[0]
	output int            // level of the output, and of inputs[1]
	inputs [2][]*fileMeta // marked compacting until the compaction ends
	base   *version       // referenced
	lo, hi []byte         // user keys that the inputs span
}

// levelMax is the size in bytes a level is kept below.
func (d *DB) levelMax(level int) uint64 {
	size := uint64(d.opts.LevelSize)
	for range level - 1 {
		over, low := bits.Mul64(size, uint64(d.opts.LevelMultiplier))
		if over > 0 {
			return math.MaxUint64
		}
		size = low
	}
	return size
}

// score is how urgently a level needs compaction; 1 and above: it does.
func (d *DB) score(v *version, level int) float64 {
	if level == 0 {
		return float64(len(v.levels[0])) / float64(d.opts.L0CompactionTrigger)
	}
	return float64(v.sizes[level]) / float64(d.levelMax(level))
}

// pick chooses the most urgent compaction whose files are all free, or nil. d.mu
// is held.
func (d *DB) pick() *compaction {
	v := d.version
	levels := make([]int, 0, numLevels)
	for level := range numLevels - 1 {
		if d.score(v, level) >= 1 {
			levels = append(levels, level)
		}
	}
	slices.SortStableFunc(levels, func(a, b int) int { return cmp.Compare(d.score(v, b), d.score(v, a)) })
	for _, level := range levels {
		if c := d.pickIn(v, level); c != nil {
			return c
		}
	}
	return nil
}

// pickIn chooses a compaction of one level: all of level 0, or, further down, the
// next file in key order after the last one that was compacted.
func (d *DB) pickIn(v *version, level int) *compaction {
	files := v.levels[level]
	if level == 0 {
		return d.setUp(v, 0, 1, files)
	}
	start := 0
	if p := d.compactPtr[level]; p != nil {
		start = findFile(d.cmp, files, p)
		if start < len(files) && d.cmp.CompareInternal(files[start].largest, p) == 0 {
			start++
		}
	}
	for i := range files {
		f := files[(start+i)%len(files)]
		if c := d.setUp(v, level, level+1, []*fileMeta{f}); c != nil {
			d.compactPtr[level] = f.largest
			return c
		}
	}
	return nil
}

// setUp completes the inputs of a compaction and marks them, or returns nil when
// one of them is taken. d.mu is held.
func (d *DB) setUp(v *version, level, output int, files []*fileMeta) *compaction {
	c := &compaction{level: level, output: output, base: v}
	c.inputs[0] = d.closeUnder(v, level, files)
	c.lo, c.hi = span(d.cmp, c.inputs[0])
	if output != level {
		c.inputs[1] = d.closeUnder(v, output, v.overlapping(d.cmp, output, c.lo, c.hi))
	}
	all := slices.Concat(c.inputs[0], c.inputs[1])
	if len(all) == 0 || slices.ContainsFunc(all, func(f *fileMeta) bool { return f.compacting }) {
		return nil
	}
	if level == 0 && d.compactingL0 {
		return nil
	}
	c.lo, c.hi = span(d.cmp, all)
	for _, f := range all {
		f.compacting = true
	}
	d.compactingL0 = d.compactingL0 || level == 0
	v.ref()
	return c
}

// closeUnder adds to files of a level ≥ 1 those neighbours that share a user key
// with them, which LevelDB's own compactions can leave: entries of a key must
// move together.
func (d *DB) closeUnder(v *version, level int, files []*fileMeta) []*fileMeta {
	if level == 0 || len(files) == 0 {
		return files
	}
	all := v.levels[level]
	first := slices.Index(all, files[0])
	last := slices.Index(all, files[len(files)-1])
	for first > 0 && d.shareKey(all[first-1], all[first]) {
		first--
	}
	for last+1 < len(all) && d.shareKey(all[last], all[last+1]) {
		last++
	}
	return slices.Clone(all[first : last+1])
}

// shareKey reports whether two neighbours on a level ≥ 1 may both hold entries of one
// user key. The end of a range tombstone is not among the keys of its table.
func (d *DB) shareKey(a, b *fileMeta) bool {
	if keys.TrailerOf(a.largest) == uint64(keys.MaxSeqNum)<<8|uint64(keys.KindRangeDelete) {
		return false
	}
	return d.cmp.Compare(keys.User(a.largest), keys.User(b.smallest)) >= 0
}

// span returns the smallest and the largest user key of files.
func span(cmp *Comparer, files []*fileMeta) (lo, hi []byte) {
	for i, f := range files {
		if s := keys.User(f.smallest); i == 0 || cmp.Compare(s, lo) < 0 {
			lo = s
		}
		if l := keys.User(f.largest); i == 0 || cmp.Compare(l, hi) > 0 {
			hi = l
		}
	}
	return lo, hi
}

// release unmarks the inputs.
func (d *DB) release(c *compaction) {
	d.mu.Lock()
	for _, in := range c.inputs {
		for _, f := range in {
			f.compacting = false
		}
	}
	if c.level == 0 {
		d.compactingL0 = false
	}
	d.mu.Unlock()
	c.base.unref()
	d.wakeBackground()
}

// compactLoop runs compactions until the store closes. Several loops work beside
// each other on different files.
func (d *DB) compactLoop() {
	defer d.background.Done()
	for {
		d.mu.Lock()
		var c *compaction
		for !d.closing {
			if c = d.pick(); c != nil {
				break
			}
			d.change.Wait()
		}
		d.mu.Unlock()
		if c == nil {
			return
		}
		err := d.writable()
		if err == nil {
			err = d.compact(c)
		}
		d.release(c)
		if !errors.Is(err, ErrClosed) {
			d.setBackgroundError(errCompaction, err)
		}
		if err != nil && !d.pause(retryDelay) {
			return
		}
	}
}

// compact runs one compaction. A single file that overlaps nothing on its way is
// moved by an edit alone.
func (d *DB) compact(c *compaction) error {
	start := time.Now()
	e := &manifest.Edit{}
	var inBytes int64
	for i, in := range c.inputs {
		for _, f := range in {
			level := c.level
			if i == 1 {
				level = c.output
			}
			e.Deleted = append(e.Deleted, manifest.TableRef{Level: level, Num: f.num})
			inBytes += int64(f.size)
		}
	}
	if d.isTrivialMove(c) {
		f := c.inputs[0][0]
		e.Added = []manifest.TableMeta{f.meta(c.output)}
		d.counters.moves.Add(1)
		return d.logEdit(e, nil, nil)
	}
	d.emit(Event{Kind: CompactionBegin, Level: c.level, Files: len(e.Deleted), Bytes: inBytes})
	files, err := d.merge(c)
	if err != nil {
		d.emit(Event{Kind: CompactionEnd, Level: c.output, Err: err})
		return fmt.Errorf("lsm: compaction of level %d: %w", c.level, err)
	}
	add, fresh := addTo(c.output, files)
	e.Added = add.Added
	outBytes := int64(totalSize(files))
	if err := d.logEdit(e, fresh, nil); err != nil {
		d.dropUnlessUnknown(files, err)
		d.emit(Event{Kind: CompactionEnd, Level: c.output, Err: err})
		return err
	}
	d.outputsDone(files)
	d.counters.compactions.Add(1)
	d.counters.compactRead.Add(inBytes)
	d.counters.compactWritten.Add(outBytes)
	d.counters.compactNs.Add(int64(time.Since(start)))
	d.emit(Event{Kind: CompactionEnd, Level: c.output, Files: len(files), Bytes: outBytes, Took: time.Since(start)})
	return nil
}

// isTrivialMove reports whether the only input can change its level as it is.
func (d *DB) isTrivialMove(c *compaction) bool {
	if len(c.inputs[0]) != 1 || len(c.inputs[1]) != 0 || c.level == c.output {
		return false
	}
	var sum uint64
	if c.output+1 < numLevels {
		for _, f := range c.base.overlapping(d.cmp, c.output+1, c.lo, c.hi) {
			sum += f.size
		}
	}
	return sum <= maxGrandparents*uint64(d.opts.TargetFileSize)
}

// merge writes the outputs of a compaction.
func (d *DB) merge(c *compaction) ([]*fileMeta, error) {
	job := &compactionJob{
		d: d, snapshots: d.snapshotSeqs(), maxSize: uint64(d.opts.TargetFileSize),
		keep: func(lo, hi []byte) bool {
			for level := c.output + 1; level < numLevels; level++ {
				if c.base.holds(d.cmp, level, lo, hi) {
					return true
				}
			}
			return false
		},
		cut: d.grandparentCut(c),
	}
	var children []internalIter
	for i, in := range c.inputs {
		for _, f := range in {
			ts, err := d.tables.tombstones(f)
			if err != nil {
				return nil, errors.Join(err, closeAll(children))
			}
			job.ranges = append(job.ranges, ts.tombstones()...)
		}
		if i == 0 && c.level == 0 {
			for _, f := range in {
				children = append(children, newLevelIter(d, []*fileMeta{f}, true))
			}
		} else if len(in) > 0 {
			children = append(children, newLevelIter(d, in, true))
		}
	}
	job.input = newMergeIter(d.cmp, children)
	return job.run()
}

func closeAll(its []internalIter) error {
	var errs []error
	for _, it := range its {
		errs = append(errs, it.Close())
	}
	return errors.Join(errs...)
}

// grandparentCut returns a function that says, for ascending user keys, whether
// the output has come to overlap too much of the level after the next.
func (d *DB) grandparentCut(c *compaction) func([]byte) bool {
	if c.output+1 >= numLevels {
		return nil
	}
	below := c.base.overlapping(d.cmp, c.output+1, c.lo, c.hi)
	limit := maxGrandparents * uint64(d.opts.TargetFileSize)
	var sum uint64
	return func(user []byte) bool {
		for len(below) > 0 && d.cmp.Compare(user, keys.User(below[0].largest)) > 0 {
			sum += below[0].size
			below = below[1:]
		}
		if sum > limit {
			sum = 0
			return true
		}
		return false
	}
}
