package vm

import "errors"

// A page is a page's worth of data, wherever it is at the moment. Private pages
// belong to the spaces that were forked from the one that made them; pages of
// files and of shared anonymous memory belong to a [File].
//
//	                   resident   slot   dirty
//	never written      no         –      –       zeros, or the file's page
//	in memory          yes        – / n  no      unchanged: evicted without writing
//	in memory          yes        – / n  yes     must be written first
//	on swap            no         n      –
type page struct {
	id       PageID
	frame    PhysAddr // if resident
	resident bool
	dirty    bool  // besides what the dirty bits of its mappings say
	slot     int   // of swap, or -1; while the page is dirty its content is old
	users    int   // entries of spaces that refer to it
	pool     *pool // that it is charged to, while resident
	pins     int   // of all users together
	file     *File
	index    uint64 // page of the file
}

// newPage makes a page that has never been touched.
func (k *Kernel) newPage() *page {
	p := &page{slot: -1}
	if n := len(k.freeIDs); n > 0 {
		p.id = k.freeIDs[n-1]
		k.freeIDs = k.freeIDs[:n-1]
		k.pages[p.id] = p
		return p
	}
	p.id = PageID(len(k.pages))
	k.pages = append(k.pages, p)
	return p
}

// freePage forgets a page without users: frame and slot are free then.
func (k *Kernel) freePage(p *page) {
	if p.resident {
		k.discharge(p)
		k.frames.FreeFrames(p.frame, 1)
		k.resident--
	}
	k.forgetNumber(p.id)
	if p.slot >= 0 {
		k.opts.Swap.release(p.slot)
	}
	if p.file != nil {
		delete(p.file.pages, p.index)
	}
	k.pages[p.id] = nil
	k.freeIDs = append(k.freeIDs, p.id)
}

// forgetNumber tells everybody who remembers pages that a number is free.
func (k *Kernel) forgetNumber(id PageID) {
	tell := func(p *pool) {
		for _, who := range [2]any{p.policy, p.quota} {
			if f, ok := who.(Forgetter); ok {
				f.Forget(id)
			}
		}
	}
	tell(k.common)
	if k.isLocal() {
		for _, s := range k.spaces {
			tell(s.pool)
		}
	}
}

// learn tells the policy of a page that can be evicted from now on.
func (k *Kernel) learn(p *page, write bool) {
	if p.pool.policy != nil && p.pins == 0 {
		p.pool.policy.Insert(p.id, write)
	}
}

// forget takes a resident page from the policy for good.
func (k *Kernel) forget(p *page) {
	if p.pool.policy != nil && p.pins == 0 {
		p.pool.policy.Remove(p.id)
	}
}

// pin keeps a resident page in memory, n times.
func (k *Kernel) pin(p *page, n int) {
	if n > 0 && p.pins == 0 {
		if p != k.zero {
			k.forget(p)
		}
		k.pinned++
	}
	p.pins += n
}

// unpin undoes pin.
func (k *Kernel) unpin(p *page, n int) {
	p.pins -= n
	if n > 0 && p.pins == 0 {
		k.pinned--
		if p != k.zero {
			k.learn(p, false)
		}
	}
}

// bytes is the frame of a resident page.
func (k *Kernel) bytes(p *page) []byte { return k.frameBytes(p.frame) }

func (k *Kernel) frameBytes(pa PhysAddr) []byte {
	b, _ := k.mem.Bytes(pa, k.frames.PageSize())
	return b
}

// pageIn brings p into memory for a read or a write and says whether a device
// was asked. On an error p is as it was.
func (k *Kernel) pageIn(p *page, write bool) (major bool, err error) {
	pa, err := k.takeFrame(p.id, nil)
	if err != nil {
		return false, err
	}
	switch {
	case p.slot >= 0:
		major, err = true, k.opts.Swap.read(p.slot, k.frameBytes(pa))
	case p.file != nil && p.file.dev != nil:
		major, err = true, p.file.readPage(p.index, k.frameBytes(pa))
	default:
		clear(k.frameBytes(pa))
	}
	switch {
	case err != nil:
		k.frames.FreeFrames(pa, 1)
		return false, err
	case !major:
		k.stats.ZeroFills++
	case p.slot >= 0:
		k.stats.SwapIns++
	default:
		k.stats.FileReads++
	}
	k.place(p, pa, write)
	return major, nil
}

// place gives p the frame, which holds its data.
func (k *Kernel) place(p *page, pa PhysAddr, write bool) {
	p.frame, p.resident, p.dirty = pa, true, false
	k.resident++
	k.charge(p, k.pool(), write)
	k.fresh = p
}

// takeFrame returns a frame for the page next, evicting another (but not keep)
// if none is free, or if the running space has all that it may have.
func (k *Kernel) takeFrame(next PageID, keep *page) (PhysAddr, error) {
	for p := k.pool(); p != k.common && p.charged >= k.quota(p); {
		if err := k.evictFrom(p, next, keep); errors.Is(err, SwapIO) {
			return 0, err
		} else if err != nil {
			break // all pinned, or without swap: memory may have room all the same
		}
	}
	pa, err := k.frames.AllocFrames(1)
	if err == nil {
		return pa, nil
	}
	if err := k.evict(next, keep); err != nil {
		return 0, err
	}
	return k.frames.AllocFrames(1)
}
