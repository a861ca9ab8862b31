package vm

import "fmt"

// MapOptions say what [Space.Mmap] maps; the zero value is private anonymous
// memory.
type MapOptions struct {
	// File is what is mapped, from byte Offset (a multiple of the page size) on;
	// nil means zeros. The mapping may not begin a page beyond the file's last.
	File   *File
	Offset uint64

	// Shared makes writes visible to all who map the same pages, to forked
	// children, and to the file. Otherwise a page is copied when it is first
	// written.
	Shared bool
}

// Mmap maps length bytes (rounded up to pages) at va, or at the highest place
// that is free if va is 0, and returns the address. perm is made of R, W and X;
// W implies R, and none of them makes pages that no access may touch. A nil o
// means its zero value. No frame is taken yet.
//
// Faults: BadLength, BadAlign, BadPerm, AlreadyMapped (part of the range is mapped,
// or reserved for the stack, or no hole is large enough), Misuse (a file of another
// kernel, or closed).
func (s *Space) Mmap(va VirtAddr, length uint64, perm Perm, o *MapOptions) (VirtAddr, error) {
	if err := s.alive(); err != nil {
		return 0, err
	}
	var opts MapOptions
	if o != nil {
		opts = *o
	}
	length, err := s.roundLength(va, length)
	if err != nil {
		return 0, err
	}
	if perm, err = cleanPerm(va, perm); err != nil {
		return 0, err
	}
	if err := s.checkFile(va, length, &opts); err != nil {
		return 0, err
	}
	top := s.stackLimit - s.pageSize() // the guard page
	if va == 0 {
		if va = s.hole(length, top); va == 0 {
			return 0, &Fault{Kind: AlreadyMapped, Level: -1, Note: fmt.Sprintf("no hole of %#x bytes", length)}
		}
	} else if va < s.k.opts.Low || va >= top || uint64(top-va) < length || !s.isFree(va, va+VirtAddr(length)) {
		return 0, &Fault{Kind: AlreadyMapped, VA: va, Level: -1, Note: fmt.Sprintf("%#x bytes are not free there", length)}
	}
	a := &area{lo: va, hi: va + VirtAddr(length), perm: perm, shared: opts.Shared, file: opts.File, off: opts.Offset}
	switch {
	case opts.File != nil:
		a.kind = AreaFile
	case opts.Shared:
		a.file, a.off = s.k.newFile(nil, length), 0
	}
	s.insert(a)
	return va, nil
}

// checkFile checks the file's part of the options.
func (s *Space) checkFile(va VirtAddr, length uint64, o *MapOptions) error {
	f, size := o.File, uint64(s.pageSize())
	if f == nil {
		o.Offset = 0
		return nil
	}
	pages := (f.size + size - 1) / size
	switch {
	case f.k != s.k || !s.k.files[f]:
		return &Fault{Kind: Misuse, VA: va, Level: -1, Note: "the file is not open in this kernel"}
	case o.Offset%size != 0:
		return &Fault{Kind: BadAlign, VA: va, Level: -1, Note: fmt.Sprintf("file offset %#x", o.Offset)}
	case o.Offset/size > pages || length/size > pages-o.Offset/size:
		return &Fault{Kind: BadLength, VA: va, Level: -1, Note: fmt.Sprintf("%#x bytes from %#x of a file of %#x", length, o.Offset, f.size)}
	}
	return nil
}

// cleanPerm checks the rights a caller may ask for.
func cleanPerm(va VirtAddr, perm Perm) (Perm, error) {
	if perm&^(PermR|PermW|PermX|PermU) != 0 {
		return 0, &Fault{Kind: BadPerm, VA: va, Level: -1, Note: perm.String()}
	}
	if perm&PermW != 0 {
		perm |= PermR
	}
	return perm &^ PermU, nil
}

// roundLength checks a range and rounds its length up to pages.
func (s *Space) roundLength(va VirtAddr, length uint64) (uint64, error) {
	size := uint64(s.pageSize())
	switch {
	case uint64(va)%size != 0:
		return 0, &Fault{Kind: BadAlign, VA: va, Level: -1}
	case length == 0 || length > uint64(s.k.opts.High) || va >= s.k.opts.High:
		return 0, &Fault{Kind: BadLength, VA: va, Level: -1, Note: fmt.Sprintf("%#x bytes", length)}
	}
	length = (length + size - 1) &^ (size - 1)
	if uint64(s.k.opts.High-va) < length {
		return 0, &Fault{Kind: BadLength, VA: va, Level: -1, Note: fmt.Sprintf("%#x bytes", length)}
	}
	return length, nil
}

// hole returns the highest free place below top for length bytes, or 0.
func (s *Space) hole(length uint64, top VirtAddr) VirtAddr {
	for i := s.after(top); ; i-- {
		lo := s.k.opts.Low
		if i > 0 {
			lo = max(lo, s.areas[i-1].hi)
		}
		if top >= lo && uint64(top-lo) >= length {
			return top - VirtAddr(length)
		}
		if i == 0 {
			return 0
		}
		top = min(top, s.areas[i-1].lo)
	}
}

// Munmap removes all mappings of [va, va+length), length rounded up to pages.
// Their data is gone, but for files and for others who share it. Faults:
// BadAlign, BadLength, NotMapped (part of the range is a hole). O(pages).
func (s *Space) Munmap(va VirtAddr, length uint64) error {
	hi, err := s.checkCovered(va, length)
	if err != nil {
		return err
	}
	s.changeRange(func() {
		for _, n := range s.touched(va, hi) {
			s.unlink(n)
		}
	})
	s.split(va)
	s.split(hi)
	i, j := s.after(va), s.after(hi-1)+1
	for _, a := range s.areas[i:j] {
		if a.file != nil {
			a.file.release()
		}
	}
	s.areas = append(s.areas[:i], s.areas[j:]...)
	return nil
}

// checkCovered checks a range that must be mapped and returns its end.
func (s *Space) checkCovered(va VirtAddr, length uint64) (VirtAddr, error) {
	if err := s.alive(); err != nil {
		return 0, err
	}
	length, err := s.roundLength(va, length)
	if err != nil {
		return 0, err
	}
	hi := va + VirtAddr(length)
	if at, ok := s.covered(va, hi); !ok {
		return 0, &Fault{Kind: NotMapped, VA: at, Level: -1}
	}
	return hi, nil
}

// Mprotect sets the rights of [va, va+length), length rounded up to pages, as
// [Space.Mmap] understands them. Faults: BadAlign, BadLength, BadPerm, NotMapped
// (part of the range is a hole). O(pages).
func (s *Space) Mprotect(va VirtAddr, length uint64, perm Perm) error {
	hi, err := s.checkCovered(va, length)
	if err != nil {
		return err
	}
	if perm, err = cleanPerm(va, perm); err != nil {
		return err
	}
	s.split(va)
	s.split(hi)
	for _, a := range s.areas[s.after(va) : s.after(hi-1)+1] {
		a.perm = perm
	}
	s.changeRange(func() {
		for _, n := range s.touched(va, hi) { // the next access maps them anew
			s.zap(s.address(n), s.entries[n])
		}
	})
	return nil
}

// Brk moves the end of the heap to end and returns it; Brk(0) returns the end as
// it is. The heap begins at KernelOptions.Low, empty. The pages above a lowered end
// are lost, and those that a raised end adds are zero; in the page that the end lies
// in the bytes above it stay, as under Unix. Faults: BadLength (below the heap's
// start), AlreadyMapped (a mapping or the stack is in the way), NotMapped (part of
// what is given back was unmapped already). O(pages given back).
func (s *Space) Brk(end VirtAddr) (VirtAddr, error) {
	if err := s.alive(); err != nil || end == 0 {
		return s.brk, err
	}
	limit := s.stackLimit - s.pageSize()
	if end < s.k.opts.Low {
		return s.brk, &Fault{Kind: BadLength, VA: end, Level: -1, Note: "below the start of the heap"}
	}
	if end > limit {
		return s.brk, &Fault{Kind: AlreadyMapped, VA: end, Level: -1, Note: "the stack is in the way"}
	}
	mask := s.pageSize() - 1
	old, now := (s.brk+mask)&^mask, (end+mask)&^mask
	switch {
	case now > old:
		if !s.isFree(old, now) {
			return s.brk, &Fault{Kind: AlreadyMapped, VA: old, Level: -1, Note: "a mapping is in the way of the heap"}
		}
		s.insert(&area{lo: old, hi: now, perm: PermR | PermW, kind: AreaHeap})
	case now < old:
		if err := s.Munmap(now, uint64(old-now)); err != nil {
			return s.brk, err
		}
	}
	s.brk = end
	return end, nil
}
