package table

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/memlab-go/memlab/lsm/internal/corrupt"
	"github.com/memlab-go/memlab/lsm/internal/keys"
	"github.com/memlab-go/memlab/lsm/internal/record"
	"github.com/memlab-go/memlab/lsm/vfs"
)

// Salvage opens a table as far as it can be read: what [Open] refuses is opened
// without what does not check. damage says what that is; nil means that Open would
// have been content. The Reader has no filter then.
//
//   - Filter, properties or metaindex damaged: the index leads to every data block.
//   - Index or footer damaged, or the file cut or longer: the file is searched for
//     blocks, each of which is known by its checksum, and the data blocks among them
//     are the table.
//
// Range tombstones are lost with their block, and what they hid comes back. A data
// block that does not check is met by the Iterator, or is missing without the index. f
// belongs to the Reader from then on, also on error. O(size) without the index.
func Salvage(f vfs.File, o *ReaderOptions) (r *Reader, damage []error, err error) {
	r, err = newReader(f, o)
	if err != nil {
		return nil, nil, err
	}
	err = r.open(o)
	var bad *corrupt.Error
	if errors.As(err, &bad) {
		damage, err = r.salvage(o)
	}
	if err != nil {
		return nil, nil, errors.Join(err, r.Close())
	}
	return r, damage, nil
}

// salvage opens the table again, noting damage instead of stopping at it.
func (r *Reader) salvage(o *ReaderOptions) (damage []error, err error) {
	r.props, r.rangeDels = Properties{}, nil
	note := func(err error) error {
		var bad *corrupt.Error
		if !errors.As(err, &bad) {
			return err
		}
		damage = append(damage, err)
		return nil
	}
	metaWhole, indexWhole := false, false
	meta, index, err := r.readFooter()
	if err == nil {
		r.tolerate = note
		_, err = r.readMeta(meta, o)
		r.tolerate = nil
		if err = note(err); err != nil {
			return damage, err
		}
		metaWhole = len(damage) == 0
		err = r.loadIndex(index, nil)
		indexWhole = err == nil
	}
	if err := note(err); err != nil {
		return damage, err
	}
	if metaWhole && indexWhole {
		return damage, nil
	}
	s := &scavenger{r: r}
	if err := s.scan(); err != nil {
		return damage, err
	}
	if r.rangeDels == nil {
		r.rangeDels = s.ranges
	}
	if indexWhole {
		return damage, nil
	}
	s.dropIndex()
	damage = append(damage, s.describe()...)
	return damage, s.load()
}

// A scavenger finds the blocks of a table without being told where they are.
type scavenger struct {
	r      *Reader
	win    []byte // bytes of the file from winOff on
	winOff int64
	effort int64 // bytes that the search may still look at

	data   []foundBlock // ascending by offset and by key
	ranges []byte       // contents of the range tombstone block
	others []handle     // blocks of other kinds
}

// A foundBlock is a data block.
type foundBlock struct {
	handle
	first, last []byte // internal keys
	handles     bool   // its values could be an index: handles of blocks before it
}

const (
	// windowSize is what is read from the file at once.
	windowSize = 256 << 10
	// blindBlock bounds how long a block behind damage may be, and blindEffort how
	// many bytes are looked at to find such blocks.
	blindBlock  = 64 << 10
	blindEffort = 1 << 30
)

// scan goes through the file block by block. Behind bytes that are no block it
// tries every place where one could begin.
func (s *scavenger) scan() error {
	s.effort = blindEffort
	blind := false // off is not where a block ends, so that the next may begin anywhere
	for off := int64(0); off+trailerLen < s.r.size && s.effort > 0; {
		h, contents, err := s.blockAt(off, blind)
		if err != nil {
			return err
		}
		known := contents != nil && s.take(h, contents)
		if contents == nil || blind && !known {
			blind = true
			off++
			continue
		}
		if !known {
			s.others = append(s.others, h)
		}
		blind = false
		off = int64(h.off + h.size + trailerLen)
	}
	return nil
}

// blockAt looks for the end of a block that begins at off: the first place where
// the checksum of all that lies between is right. contents is nil if there is none.
func (s *scavenger) blockAt(off int64, blind bool) (h handle, contents []byte, err error) {
	end := s.r.size
	if blind {
		end = min(end, off+blindBlock)
	}
	tab, crc := castagnoli(), ^uint32(0)
	for at := off; at+trailerLen <= end; {
		b, err := s.window(at, end)
		if err != nil {
			return h, nil, err
		}
		if blind && at == off && !plausible(b) {
			return h, nil, nil
		}
		for n := range len(b) - trailerLen + 1 {
			crc = tab[byte(crc)^b[n]] ^ crc>>8
			switch b[n] {
			case blockRaw, blockSnappy, blockZstd, blockZstdLDB:
				if record.Mask(^crc) == binary.LittleEndian.Uint32(b[n+1:]) {
					h = handle{uint64(off), uint64(at + int64(n) - off)}
					if contents, err = s.r.readBlock(h, corrupt.Table); err == nil {
						return h, contents, nil
					}
				}
			}
		}
		at += int64(len(b) - trailerLen + 1)
	}
	if blind {
		s.effort -= end - off
	}
	return h, nil, nil
}

// window returns bytes of the file from off on: all up to end, or as many as are
// read at once.
func (s *scavenger) window(off, end int64) ([]byte, error) {
	if n := min(end-off, blindBlock); off < s.winOff || off+n > s.winOff+int64(len(s.win)) {
		s.win, s.winOff = append(s.win[:0], make([]byte, min(windowSize, s.r.size-off))...), off
		if err := s.r.readAt(s.win, off); err != nil {
			return nil, s.r.readError(err, corrupt.Table, off)
		}
	}
	b := s.win[off-s.winOff:]
	return b[:min(int64(len(b)), end-off)], nil
}

// plausible reports whether a block of internal keys can begin with b, raw or
// compressed.
func plausible(b []byte) bool {
	switch {
	case len(b) < 16:
		return false
	case beginsEntry(b, false):
		return true
	case isZstd(b):
		return true
	}
	_, n := binary.Uvarint(b[:10]) // how long the contents are
	if n <= 0 {
		return false
	}
	if b = b[n:]; isZstd(b) {
		return true
	}
	// Snappy begins with a literal, since there is nothing to copy yet.
	if b[0]&3 != 0 || b[0]>>2 > 61 {
		return false
	}
	return beginsEntry(b[1+max(0, int(b[0]>>2)-59):], true)
}

// isZstd reports whether b begins as a zstd frame does.
func isZstd(b []byte) bool { return binary.LittleEndian.Uint32(b) == 0xfd2fb528 }

// beginsEntry reports whether b can begin with the first entry of a block: it
// shares nothing with the one before it, and its key is an internal one. When b is
// compressed only the first bytes are sure to be there as they are.
func beginsEntry(b []byte, compressed bool) bool {
	if b[0] != 0 {
		return false
	}
	unshared, n := binary.Uvarint(b[1:min(len(b), 6)])
	if n <= 0 || unshared < keys.TrailerLen || compressed {
		return n > 0 && unshared >= keys.TrailerLen
	}
	h, ok := decodeEntry(b, 0)
	return ok && keys.Valid(b[h.key:h.value()])
}

// take sorts a block in and reports whether it knows its kind.
func (s *scavenger) take(h handle, contents []byte) bool {
	f := foundBlock{handle: h, handles: true}
	var it blockIter
	if it.init(contents, s.r.cmp) != nil {
		return false
	}
	n, tombstones, end := 0, 0, uint64(0)
	for ok := it.first(); ok; ok = it.next() {
		if n == 0 {
			f.first = append([]byte{}, it.key...)
		} else if s.r.cmp.CompareInternal(f.last, it.key) >= 0 {
			return false
		}
		f.last = append(f.last[:0], it.key...)
		if keys.KindOf(it.key) == keys.KindRangeDelete {
			tombstones++
		}
		v, rest, err := decodeHandle(it.val)
		f.handles = f.handles && err == nil && len(rest) == 0 && v.off >= end && v.off+v.size+trailerLen <= h.off
		end = v.off + v.size
		n++
	}
	switch k := len(s.data); {
	case it.err != nil || n == 0:
		return false
	case tombstones == n:
		s.ranges = contents
		return true
	case tombstones > 0, k > 0 && s.r.cmp.CompareInternal(s.data[k-1].last, f.first) >= 0:
		return false
	}
	s.data = append(s.data, f)
	return true
}

// dropIndex takes the index block, whose keys and values look like any, off the
// data blocks: it stands last.
func (s *scavenger) dropIndex() {
	if k := len(s.data) - 1; k >= 0 && s.data[k].handles {
		s.others = append(s.others, s.data[k].handle)
		s.data = s.data[:k]
	}
}

// describe says what lies between the data blocks, and how many there are.
func (s *scavenger) describe() (damage []error) {
	end := uint64(0)
	for i, f := range s.data {
		if f.off > end {
			e := corrupt.New(s.r.name, corrupt.DataBlock, int64(end), "%d bytes hold no block that checks", f.off-end)
			e.Hi = keys.User(f.first)
			if i > 0 {
				e.Lo = keys.User(s.data[i-1].last)
			}
			damage = append(damage, e)
		}
		end = f.off + f.size + trailerLen
	}
	left := s.r.size - int64(end)
	for _, h := range s.others {
		left -= int64(h.size + trailerLen)
	}
	return append(damage, corrupt.New(s.r.name, corrupt.Table, int64(end),
		"%d data blocks were found without the index; of what follows, %d bytes are no block that checks", len(s.data), max(0, left)))
}

// load makes an index of the blocks that were found.
func (s *scavenger) load() error {
	b := blockBuilder{interval: 1}
	for _, f := range s.data {
		b.add(f.last, f.handle.append(nil))
	}
	if err := s.r.idx.load(s.r.cache, s.r.cmp, b.finish(), nil, s.r.size); err != nil {
		return fmt.Errorf("table: %s: index of the blocks that were found: %w", s.r.name, err)
	}
	return nil
}
