package vm

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
)

// A File is a file opened for mapping, with its page cache: the pages of it that
// are in memory, shared by all mappings. Shared anonymous memory is a File
// without a device, whose pages go to swap.
type File struct {
	k     *Kernel
	dev   Device // nil: anonymous
	size  uint64 // bytes
	pages map[uint64]*page
	areas int // that map it
}

// OpenFile makes the first size bytes of dev mappable ([MapOptions.File]). What
// the last page has beyond them reads as zero and is never written. The device
// stays the caller's, and must not change behind the kernel's back until
// [File.Close]. The fault is BadLength: no device, no bytes, or more than 2^62.
func (k *Kernel) OpenFile(dev Device, size uint64) (*File, error) {
	if dev == nil || size == 0 || size > math.MaxInt64/2 {
		return nil, &Fault{Kind: BadLength, Level: -1, Note: fmt.Sprintf("file of %#x bytes: want a device and at least one byte", size)}
	}
	return k.newFile(dev, size), nil
}

func (k *Kernel) newFile(dev Device, size uint64) *File {
	f := &File{k: k, dev: dev, size: size, pages: map[uint64]*page{}}
	k.files[f] = true
	return f
}

// Size returns the size in bytes.
func (f *File) Size() uint64 { return f.size }

// Cached returns how many pages of the file are in memory.
func (f *File) Cached() int {
	n := 0
	for _, p := range f.pages {
		if p.resident {
			n++
		}
	}
	return n
}

// Sync writes every page back that was changed through a shared mapping. The
// error joins the faults, of kind SwapIO, of the pages that could not be written;
// they stay dirty.
func (f *File) Sync() error {
	var errs []error
	for _, i := range slices.Sorted(maps.Keys(f.pages)) {
		if p := f.pages[i]; p.resident && f.dev != nil {
			errs = append(errs, f.k.clean(p))
		}
	}
	return errors.Join(errs...)
}

// Close writes the file back and empties its page cache. The fault is Misuse
// while it is mapped; after an error from the device the file is still open.
// Closing twice is closing once.
func (f *File) Close() error {
	if f.areas > 0 {
		return &Fault{Kind: Misuse, Level: -1, Note: fmt.Sprintf("closing a file that %d areas map", f.areas)}
	}
	if err := f.Sync(); err != nil {
		return err
	}
	f.drop()
	return nil
}

// drop forgets the file and its pages, which have no users.
func (f *File) drop() {
	for _, i := range slices.Sorted(maps.Keys(f.pages)) {
		f.k.freePage(f.pages[i])
	}
	delete(f.k.files, f)
}

// release is called when an area no longer maps the file.
func (f *File) release() {
	if f.areas--; f.areas == 0 && f.dev == nil {
		f.drop()
	}
}

// page returns the page of the file with this index, in memory or not.
func (f *File) page(index uint64) *page {
	p := f.pages[index]
	if p == nil {
		p = f.k.newPage()
		p.file, p.index = f, index
		f.pages[index] = p
	}
	return p
}

// span returns where a page begins in the file and how many of its bytes the
// file has.
func (f *File) span(index uint64) (off int64, n uint64) {
	size := f.k.frames.PageSize()
	return int64(index * size), min(size, f.size-index*size)
}

func (f *File) readPage(index uint64, b []byte) error {
	off, n := f.span(index)
	m, err := f.dev.ReadAt(b[:n], off)
	if uint64(m) < n {
		if err == nil {
			err = io.ErrUnexpectedEOF
		}
		return &Fault{Kind: SwapIO, Level: -1, Err: err, Note: fmt.Sprintf("reading page %d of a file", index)}
	}
	clear(b[n:])
	return nil
}

func (f *File) writePage(index uint64, b []byte) error {
	off, n := f.span(index)
	m, err := f.dev.WriteAt(b[:n], off)
	if err == nil && uint64(m) < n {
		err = io.ErrShortWrite
	}
	if err != nil {
		return &Fault{Kind: SwapIO, Level: -1, Err: err, Note: fmt.Sprintf("writing page %d of a file", index)}
	}
	return nil
}
