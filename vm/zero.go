package vm

// The page of zeros. A read of anonymous private memory that was never written
// maps one frame of zeros, the same for all, not writable; the first write copies
// it, which is clearing another frame. It is no policy's and never evicted, and
// has no place in the reverse map: whoever maps it knows. The frame is taken when
// the first space reads such memory and free again when the last has left it.

// zeroPage returns the page of zeros for one more user, nil if there is none to
// be had: it is switched off, or no frame is free.
func (k *Kernel) zeroPage() *page {
	if k.opts.NoZeroFrame {
		return nil
	}
	if k.zero != nil {
		return k.zero
	}
	pa, err := k.frames.AllocFrames(1)
	if err != nil {
		return nil
	}
	clear(k.frameBytes(pa))
	k.frames.share(pa, true)
	p := k.newPage()
	p.frame, p.resident = pa, true
	k.zero = p
	k.resident++
	return p
}

// leaveZero frees the page of zeros when it has no user.
func (k *Kernel) leaveZero() {
	p := k.zero
	if p.users > 0 {
		return
	}
	k.zero = nil
	k.frames.share(p.frame, false)
	k.frames.FreeFrames(p.frame, 1)
	k.resident--
	k.pages[p.id] = nil
	k.freeIDs = append(k.freeIDs, p.id)
}

// share says that everybody may use the frame at pa, mapped or not.
func (f *Frames) share(pa PhysAddr, on bool) {
	i, _ := f.index(pa)
	f.frame[i].shared = on
}
