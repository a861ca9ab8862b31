package vm

import (
	"errors"
	"fmt"
)

func isOutOfFrames(err error) bool { return errors.Is(err, OutOfFrames) }

// evict makes one frame free for the page next, from the pool that should give
// first and can.
func (k *Kernel) evict(next PageID, keep *page) (err error) {
	for _, p := range k.pools() {
		if err = k.evictFrom(p, next, keep); err == nil || errors.Is(err, SwapIO) {
			return err
		}
	}
	return err
}

// evictFrom evicts a page of a pool: the policy names victims until one can be
// evicted. Those that cannot (keep, and dirty pages when there is no slot for
// them) are given back to the policy afterwards, so each is asked once and the
// time is bounded. A device that fails to write ends it.
func (k *Kernel) evictFrom(from *pool, next PageID, keep *page) error {
	policy := from.policy
	if policy == nil {
		return &Fault{Kind: OutOfFrames, Level: -1, Note: fmt.Sprintf("all %d frames in use and no replacement policy", k.frames.Len())}
	}
	var aside []*page
	defer func() {
		for _, p := range aside {
			k.learn(p, p.dirty)
		}
	}()
	var why error
	for {
		v, ok := policy.Victim(next)
		k.launder(from)
		if !ok {
			return k.noVictim(from, why)
		}
		p := k.pages[v]
		if p == keep {
			aside = append(aside, p)
			continue
		}
		err := k.pageOut(p)
		if err == nil {
			return nil
		}
		aside = append(aside, p)
		if errors.Is(err, SwapIO) {
			return err
		}
		why = err
	}
}

// noVictim says why nothing could be evicted; why is what the last page that
// could not met, or nil if there was none.
func (k *Kernel) noVictim(from *pool, why error) error {
	if why != nil {
		return why
	}
	return &Fault{Kind: NoVictim, Level: -1, Err: OutOfFrames, Note: fmt.Sprintf("policy %s: %d pages in memory, %d of them pinned, %d frames hold page tables",
		from.name(), k.resident, k.pinned, k.TableFrames())}
}

// name is the policy's.
func (p *pool) name() string { return fmt.Sprintf("%T", p.policy) }

// launder writes the pages back that the policy wants clean. One that cannot be
// written stays dirty.
func (k *Kernel) launder(from *pool) {
	if from.launderer == nil {
		return
	}
	for v, ok := from.launderer.Launder(); ok; v, ok = from.launderer.Launder() {
		if p := k.pages[v]; p != nil && p.resident && k.clean(p) != nil {
			return
		}
	}
}

// trim evicts what the policy of a pool gives up of its own accord. A page that
// cannot be evicted is given back.
func (k *Kernel) trim(from *pool) {
	if from.trimmer == nil {
		return
	}
	for v, ok := from.trimmer.Trim(); ok; v, ok = from.trimmer.Trim() {
		p := k.pages[v]
		if err := k.pageOut(p); err != nil {
			k.learn(p, p.dirty)
			return
		}
	}
}

// pageOut evicts p, which the policy has given up. On an error it is as it was:
// in memory, mapped, and dirty.
func (k *Kernel) pageOut(p *page) error {
	wasDirty := k.collect(p)
	if wasDirty {
		if err := k.writeBack(p); err != nil {
			return err
		}
		k.stats.DirtyEvictions++
	} else {
		k.stats.CleanEvictions++
	}
	k.stats.Evictions++
	k.emit(Event{Kind: EventPageOut, PA: p.frame, Count: int(p.id), Hit: !wasDirty})
	k.unmapAll(p)
	p.pool.charged--
	p.dirty = false
	k.frames.FreeFrames(p.frame, 1)
	p.resident = false
	k.resident--
	if p.users == 0 && p.file != nil && p.file.dev != nil { // the file has it
		k.freePage(p)
	}
	return nil
}

// collect moves what the dirty bits of all mappings say into p.dirty. A huge page
// that p is part of is one no longer.
func (k *Kernel) collect(p *page) bool {
	for m := range k.frames.MappingsOf(p.frame) {
		k.spaces[m.ASID].demote(m.VA)
	}
	for m := range k.frames.MappingsOf(p.frame) {
		p.dirty = p.dirty || k.spaces[m.ASID].wrote(m.VA)
	}
	return p.dirty
}

// unmapAll removes every mapping of p, by the reverse map.
func (k *Kernel) unmapAll(p *page) {
	for k.frames.Refs(p.frame) > 0 {
		for m := range k.frames.MappingsOf(p.frame) {
			s := k.spaces[m.ASID]
			s.zap(m.VA, s.entries[s.number(m.VA)])
			break
		}
	}
}

// writeBack writes p where it belongs. On an error it must still be written.
func (k *Kernel) writeBack(p *page) error {
	if p.file != nil && p.file.dev != nil {
		if err := p.file.writePage(p.index, k.bytes(p)); err != nil {
			return err
		}
		k.stats.FileWrites++
		return nil
	}
	swap := k.opts.Swap
	if swap == nil {
		return &Fault{Kind: OutOfFrames, Level: -1, Note: fmt.Sprintf("all %d frames in use; policy %s finds only pages that need swap, and there is none", k.frames.Len(), p.pool.name())}
	}
	slot := p.slot
	if slot < 0 {
		var ok bool
		if slot, ok = k.takeSlot(); !ok {
			return &Fault{Kind: SwapFull, Level: -1, Note: fmt.Sprintf("all %d slots in use", swap.Slots())}
		}
	}
	if err := swap.write(slot, k.bytes(p)); err != nil {
		p.slot, p.dirty = -1, true // what the slot holds is neither old nor new
		swap.release(slot)
		return err
	}
	p.slot = slot
	k.stats.SwapOuts++
	return nil
}

// takeSlot returns a swap slot. When none is free, pages in memory lose theirs:
// they are written anew if they are evicted. O(pages) then.
func (k *Kernel) takeSlot() (int, bool) {
	slot, ok := k.opts.Swap.alloc()
	if ok {
		return slot, true
	}
	for _, p := range k.pages {
		if p != nil && p.resident && p.slot >= 0 {
			k.opts.Swap.release(p.slot)
			p.slot, p.dirty = -1, true
		}
	}
	return k.opts.Swap.alloc()
}

// clean writes p back if it is dirty; it stays in memory, and its mappings are
// clean again.
func (k *Kernel) clean(p *page) error {
	if !k.collect(p) {
		return nil
	}
	if err := k.writeBack(p); err != nil {
		return err
	}
	k.stats.Cleaned++
	p.dirty = false
	var writable []Mapping
	for m := range k.frames.MappingsOf(p.frame) {
		writable = append(writable, m)
	}
	for _, m := range writable {
		k.spaces[m.ASID].markClean(m.VA)
	}
	return nil
}
