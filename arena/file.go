package arena

import (
	"errors"
	"io"
	"os"
)

// file is the backend of the File backing: a shared mapping of a file that is
// as long as the last page that was ever committed. Blocks of the device are
// allocated by commit, so that a full disk is an error there and not a signal
// at some later store, and given back by decommit.
//
// A file that was opened may end inside a page. Commit makes it longer when it
// covers that page, and not before: one who opens a file only looks at it.
type file struct {
	mapped
	f   *os.File
	odd int64 // page that the file ends in, not made longer yet; -1: none
}

// reserveFile maps the file of o as the memory of r.
func (r *Region) reserveFile(size int, o *Options) (err error) {
	if !haveFileMapping {
		return ErrUnsupported
	}
	f, err := openFile(o.Path)
	if err != nil {
		return err
	}
	b := &file{mapped: mapped{r: r, pager: o.Pager}, f: f, odd: -1}
	info, err := f.Stat()
	if err == nil {
		err = b.mapFile(size, info.Size(), o)
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	r.back = b
	return nil
}

// mapFile reserves address space and maps the file, length bytes long, over it.
func (b *file) mapFile(size int, length int64, o *Options) error {
	if !fitsInt(length) || size > 0 && length > int64(size) {
		return errors.Join(ErrSize, errors.New("the file is longer than the region"))
	}
	err := b.reserveFor(size, o)
	if err != nil {
		return err
	}
	r := b.r
	if length > int64(r.size) {
		err = errors.Join(ErrSize, errors.New("the file is longer than the address space to be had"))
	} else {
		_, err = b.pager.Map(MapRequest{Size: r.size, Prot: ProtReadWrite, File: b.f, Over: r.Bytes()})
	}
	if err == nil {
		b.eager, b.flip = true, newPageSet(r.pages())
		r.stats.Existing = int(length)
		if length%r.page != 0 {
			b.odd = length / r.page
		}
		err = b.findData(length)
	}
	if err == nil && r.limit > 0 && r.committed.count > int64(r.limit)/r.page {
		err = ErrLimit
	}
	if err != nil {
		return errors.Join(err, b.pager.Unmap(b.outer))
	}
	r.account()
	return nil
}

// fitsInt reports whether a length of the system's fits an int.
func fitsInt(length int64) bool { return length >= 0 && int64(int(length)) == length }

// reserveFor reserves the address space, bare.
func (b *file) reserveFor(size int, o *Options) error {
	bare := *o
	bare.Backing = Sparse // address space only
	if size > 0 {
		return b.reserve(size, &bare)
	}
	bare.Backing = Mmap
	return b.reserveDefault(&bare)
}

// findData commits the pages of the first length bytes that hold data.
func (b *file) findData(length int64) error {
	r := b.r
	end := (length + r.page - 1) / r.page
	for off := int64(0); off < length; {
		data, hole, err := nextData(b.f, off, length)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		r.committed.add(data/r.page, min(end, (hole+r.page-1)/r.page))
		off = hole
	}
	return nil
}

// commit allocates blocks for the pages that have none, all or nothing as far
// as the system goes: what it had allocated when it failed holds zeros and
// stays in the file, uncommitted.
func (b *file) commit(lo, hi int64) error {
	page := b.r.page
	err := b.r.committed.runs(lo, hi, false, func(lo, hi int64) error {
		return b.pager.Allocate(b.f, lo*page, (hi-lo)*page)
	})
	if err == nil && lo <= b.odd && b.odd < hi {
		if b.r.committed.has(b.odd) {
			err = b.pager.Allocate(b.f, b.odd*page, page)
		}
		if err == nil {
			b.odd = -1
		}
	}
	if err != nil {
		return err
	}
	return b.mapped.commit(lo, hi)
}

// decommit punches a hole; where the file system cannot, it writes zeros.
func (b *file) decommit(lo, hi int64) error {
	page := b.r.page
	err := b.pager.Punch(b.f, lo*page, (hi-lo)*page)
	if errors.Is(err, ErrUnsupported) {
		if err = b.unprotect(lo, hi); err != nil {
			return err
		}
		err = b.r.committed.runs(lo, hi, true, func(lo, hi int64) error {
			clear(b.r.bytes(lo, hi))
			return nil
		})
	}
	if err != nil {
		return err
	}
	b.closePages(lo, hi)
	return nil
}

// move is left to copying: the pages of a file belong to their offsets.
func (b *file) move(dst, src, n int64) int64 { return 0 }

// populate leaves it to the system which pages of the file are in memory.
func (b *file) populate(lo, hi int64) error { return nil }

func (b *file) sync(lo, hi int64) error { return b.pager.Sync(b.r.bytes(lo, hi)) }

// shrink would cut the file, which is its owner's.
func (b *file) shrink(from int64) error { return ErrUnsupported }

// close ends the mapping and closes the file. Once the mapping is gone so is
// the region, whatever closing the file says: its addresses may be another's.
func (b *file) close() (gone bool, err error) {
	if gone, err = b.mapped.close(); gone {
		err = b.f.Close()
	}
	return gone, err
}

// allocateByWriting makes the file system give blocks to [off, off+size) by
// writing there what can be read there.
func allocateByWriting(f *os.File, off, size int64) error {
	buf := make([]byte, min(size, 1<<16))
	for size > 0 {
		part := buf[:min(size, int64(len(buf)))]
		n, err := f.ReadAt(part, off)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		clear(part[n:])
		if _, err := f.WriteAt(part, off); err != nil {
			return err
		}
		off, size = off+int64(len(part)), size-int64(len(part))
	}
	return nil
}
