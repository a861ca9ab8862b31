package arena

import (
	"errors"
	"fmt"
)

// Check recounts the region's pages and reports every broken law, or nil. It
// changes nothing. O(pages/64).
//
//	L1  the count of committed pages is the number of pages in the set
//	L2  committed ≤ reserved, and never more than was reserved at first
//	L3  committed ≤ limit, where there is one
func (r *Region) Check() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mem.Load() == nil {
		return nil
	}
	var errs []error
	if err := r.committed.check(r.pages()); err != nil {
		errs = append(errs, fmt.Errorf("arena: L1: %w", err))
	}
	have := int(min(r.committed.count*r.page, int64(r.size)))
	if have != r.stats.Committed {
		errs = append(errs, fmt.Errorf("arena: L1: %d bytes counted as committed, the set says %d", r.stats.Committed, have))
	}
	if have > r.size || r.stats.Peak > r.size+r.cut {
		errs = append(errs, fmt.Errorf("arena: L2: %d bytes committed, at most %d, of %d, at first %d", have, r.stats.Peak, r.size, r.size+r.cut))
	}
	if r.limit > 0 && have > r.limit {
		errs = append(errs, fmt.Errorf("arena: L3: %d bytes committed, limit %d", have, r.limit))
	}
	return errors.Join(errs...)
}

// check recounts the set, node by node.
func (s *pageSet) check(pages int64) error {
	var total int64
	err := s.runs(0, pages, true, func(lo, hi int64) error {
		total += hi - lo
		return nil
	})
	var below int64
	for _, m := range s.top {
		if m != nil {
			below += m.count
		}
	}
	if total != s.count || below != s.count {
		return fmt.Errorf("%d pages in the set, %d counted, %d in its nodes", total, s.count, below)
	}
	return err
}

// Check reports every broken law of the arena and its regions, or nil. It
// changes nothing.
//
//	L1  used ≤ committed ≤ reserved in each chunk, as its region counts it
//	L2  chunks after the current one are empty
//	L3  marks nest: positions never decrease from the outermost mark on
//	L4  the committed bytes of the chunks add up to the arena's, within its limit
func (a *Arena) Check() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("arena: "+format, args...)) }
	sum := 0
	for i, c := range a.chunks {
		sum += c.committed
		if err := c.r.Check(); err != nil {
			errs = append(errs, err)
		}
		if c.pos < 0 || c.pos > c.committed || c.committed > len(c.mem) || c.dirty > c.committed {
			bad("L1: chunk %d: used %d, dirty %d, committed %d, reserved %d", i, c.pos, c.dirty, c.committed, len(c.mem))
		}
		if got := c.r.Stats().Committed; got < c.committed || !a.given && got != c.committed {
			bad("L1: chunk %d: committed %d, its region says %d", i, c.committed, got)
		}
		if i > a.cur && c.pos != 0 {
			bad("L2: chunk %d: %d bytes used after the current chunk %d", i, c.pos, a.cur)
		}
	}
	last := Mark{}
	for i, m := range a.marks {
		later := m.chunk > last.chunk || m.chunk == last.chunk && m.pos >= last.pos
		if m.depth != i || m.serial <= last.serial || !later {
			bad("L3: mark %d of depth %d at %d in chunk %d, after one at %d in chunk %d", i, m.depth, m.pos, m.chunk, last.pos, last.chunk)
		}
		last = m
	}
	if n := len(a.marks); n > 0 && (last.chunk > a.cur || last.chunk == a.cur && a.cur < len(a.chunks) && last.pos > a.chunks[a.cur].pos) {
		bad("L3: the last mark is at %d in chunk %d, past the current position", last.pos, last.chunk)
	}
	if sum != a.committed || a.opts.Limit > 0 && sum > a.opts.Limit {
		bad("L4: chunks have %d bytes committed, the arena counts %d, limit %d", sum, a.committed, a.opts.Limit)
	}
	return errors.Join(errs...)
}

// Check reports every broken law of c and its region, or nil. It changes
// nothing; beside Alloc it may see an allocation half done.
//
//	L1  used ≤ committed ≤ size
func (c *Concurrent) Check() error {
	if c.mem == nil {
		return nil
	}
	used, have := c.used.Load(), c.committed.Load()
	if used > max(have, concurrentStart) || have > int64(len(c.mem)) {
		return fmt.Errorf("arena: L1: used %d, committed %d, size %d", used, have, len(c.mem))
	}
	return c.r.Check()
}
