package table

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/memlab-go/memlab/lsm/internal/cache"
	"github.com/memlab-go/memlab/lsm/internal/corrupt"
	"github.com/memlab-go/memlab/lsm/internal/filter"
	"github.com/memlab-go/memlab/lsm/internal/keys"
	"github.com/memlab-go/memlab/lsm/vfs"
)

// ReaderOptions says how a table is read. Zero fields mean the defaults.
type ReaderOptions struct {
	Comparer *keys.Comparer // Bytewise; it must be the one the table was written with
	Cache    *cache.Cache   // required: holds index, filter and blocks
	Decoder  *Decoder       // shared by the tables of a store; nil: its own
	FileName string         // for messages
	FileNum  uint64         // the number the table must carry; 0: any
	Size     int64          // the size the file must have; 0: any
	Mmap     bool           // map the file where the FS can; else pread
}

// A Reader reads one table. Safe for concurrent use.
type Reader struct {
	f     vfs.File
	name  string
	size  int64
	cmp   *keys.Comparer
	cache *cache.Cache
	dec   *Decoder
	idx   index
	props Properties

	mapped []byte // the file, with Mmap
	unmap  func() error

	rangeDels []byte // contents of the range tombstone block

	tolerate func(error) error // while it is salvaged: takes note of damage
}

// Open reads footer, index, filter and properties of the table in f. Damage is a
// [*corrupt.Error]; no room for the index is [alloc.ErrNoMemory]. f belongs to the
// Reader from then on, also on error.
func Open(f vfs.File, o *ReaderOptions) (*Reader, error) {
	r, err := newReader(f, o)
	if err != nil {
		return nil, err
	}
	if err := r.open(o); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// newReader makes a Reader that has read nothing yet.
func newReader(f vfs.File, o *ReaderOptions) (*Reader, error) {
	r := &Reader{f: f, name: o.FileName, cmp: o.Comparer, cache: o.Cache, dec: o.Decoder}
	if r.cmp == nil {
		r.cmp = keys.Bytewise()
	}
	if r.dec == nil {
		r.dec = new(Decoder)
	}
	if r.cache == nil {
		return nil, errors.Join(errors.New("table: open without a cache"), f.Close())
	}
	return r, nil
}

func (r *Reader) open(o *ReaderOptions) error {
	size, err := r.f.Size()
	if err != nil {
		return err
	}
	r.size = size
	if o.Size != 0 && size != o.Size {
		return corrupt.New(r.name, corrupt.Table, -1, "file has %d bytes, want %d", size, o.Size)
	}
	if m, ok := r.f.(vfs.Mapper); ok && o.Mmap && size > 0 && size == int64(int(size)) {
		if r.mapped, r.unmap, err = m.Map(int(size)); err != nil {
			return err
		}
	}
	meta, indexHandle, err := r.readFooter()
	if err != nil {
		return err
	}
	bloom, err := r.readMeta(meta, o)
	if err != nil {
		return err
	}
	return r.loadIndex(indexHandle, bloom)
}

// loadIndex reads the index block and unpacks it.
func (r *Reader) loadIndex(h handle, bloom []byte) error {
	raw, err := r.readBlock(h, corrupt.IndexBlock)
	if err != nil {
		return err
	}
	if err := r.idx.load(r.cache, r.cmp, raw, bloom, r.size-footerLen); err != nil {
		return r.blame(err, corrupt.IndexBlock, h)
	}
	return nil
}

// blame makes a corruption error of err unless it is about memory.
func (r *Reader) blame(err error, kind string, h handle) error {
	if isNoMemory(err) {
		return err
	}
	return &corrupt.Error{File: r.name, Kind: kind, Off: int64(h.off), Err: err}
}

func (r *Reader) readFooter() (meta, index handle, err error) {
	var buf [footerLen]byte
	off := r.size - footerLen
	if off < 0 {
		return meta, index, corrupt.New(r.name, corrupt.Footer, 0, "file has %d bytes, a table has at least %d", r.size, footerLen)
	}
	if err := r.readAt(buf[:], off); err != nil {
		return meta, index, r.readError(err, corrupt.Footer, off)
	}
	if meta, index, err = decodeFooter(buf[:], r.size); err != nil {
		return meta, index, &corrupt.Error{File: r.name, Kind: corrupt.Footer, Off: off, Err: err}
	}
	return meta, index, nil
}

// readMeta reads the metaindex and what it names, and returns the filter block
// or nil.
func (r *Reader) readMeta(meta handle, o *ReaderOptions) (bloom []byte, err error) {
	raw, err := r.readBlock(meta, corrupt.MetaBlock)
	if err != nil {
		return nil, err
	}
	var it blockIter
	if err := it.init(raw, nil); err != nil {
		return nil, r.blame(err, corrupt.MetaBlock, meta)
	}
	for ok := it.first(); ok; ok = it.next() {
		name := string(it.key)
		if name != propsKey && name != rangeKey && name != filterKey+filter.PolicyName {
			continue
		}
		h, _, err := decodeHandle(it.val)
		if err == nil {
			err = h.check(r.size - footerLen)
		}
		if err != nil {
			err = r.blame(fmt.Errorf("%s: %w", name, err), corrupt.MetaBlock, meta)
		} else {
			switch name {
			case propsKey:
				err = r.readProps(h, o.FileNum)
			case rangeKey:
				r.rangeDels, err = r.readBlock(h, corrupt.RangeBlock)
			default:
				bloom, err = r.readFilter(h)
			}
		}
		if err != nil && r.tolerate != nil {
			err = r.tolerate(err)
		}
		if err != nil {
			return nil, err
		}
	}
	if it.err != nil {
		return nil, r.blame(it.err, corrupt.MetaBlock, meta)
	}
	return bloom, nil
}

func (r *Reader) readFilter(h handle) ([]byte, error) {
	bloom, err := r.readBlock(h, corrupt.FilterBlock)
	if err != nil {
		return nil, err
	}
	if _, err := filter.Parse(bloom); err != nil {
		return nil, r.blame(err, corrupt.FilterBlock, h)
	}
	return bloom, nil
}

// readProps reads the properties and compares the number.
func (r *Reader) readProps(h handle, want uint64) error {
	raw, err := r.readBlock(h, corrupt.MetaBlock)
	if err != nil {
		return err
	}
	if r.props, err = parseProps(raw); err != nil {
		return r.blame(err, corrupt.MetaBlock, h)
	}
	if got := r.props.FileNum; want != 0 && got != 0 && got != want {
		return corrupt.New(r.name, corrupt.Table, -1, "this is table %d under the name of table %d", got, want)
	}
	if c := r.props.Comparer; c != "" && c != r.cmp.Name {
		return fmt.Errorf("table: %s: sorted by %q, opened with %q: %w", r.name, c, r.cmp.Name, ErrComparer)
	}
	return nil
}

// ErrComparer says that a table is sorted by another order than the one it is
// opened with.
var ErrComparer = errors.New("comparer mismatch")

// readBlock reads, checks and decompresses a block into memory of its own on
// the Go heap: it is for the blocks that are read once.
func (r *Reader) readBlock(h handle, kind string) ([]byte, error) {
	buf := make([]byte, h.size+trailerLen)
	if err := r.readAt(buf, int64(h.off)); err != nil {
		return nil, r.readError(err, kind, int64(h.off))
	}
	contents, typ, err := verify(buf)
	if err != nil {
		return nil, r.blame(err, kind, h)
	}
	n, err := decodedLen(contents, typ)
	if err != nil {
		return nil, r.blame(err, kind, h)
	}
	if typ == blockRaw {
		return contents, nil
	}
	dst := make([]byte, n)
	if err := r.dec.decode(dst, contents, typ); err != nil {
		return nil, r.blame(err, kind, h)
	}
	return dst, nil
}

// readAt fills b from the file, or says why not.
func (r *Reader) readAt(b []byte, off int64) error {
	if r.mapped != nil {
		return guard(func() { copy(b, r.mapped[off:]) })
	}
	n, err := r.f.ReadAt(b, off)
	if n == len(b) {
		return nil
	}
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// readError makes damage of a file that is too short, and passes on what the
// system said otherwise.
func (r *Reader) readError(err error, kind string, off int64) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, errFault) {
		return &corrupt.Error{File: r.name, Kind: kind, Off: off, Err: err}
	}
	return fmt.Errorf("table: %s: read at %#x: %w", r.name, off, err)
}

// NumBlocks returns how many data blocks the table has.
func (r *Reader) NumBlocks() int { return r.idx.n }

// Size returns the size of the file in bytes.
func (r *Reader) Size() int64 { return r.size }

// Memory returns the bytes that the table pins in the cache's heap.
func (r *Reader) Memory() int { return len(r.idx.pinned) }

// Properties returns what the table says about itself.
func (r *Reader) Properties() *Properties { return &r.props }

// CheckBounds compares the table's first and last internal key with smallest
// and largest, either of which may be nil for "do not check". A table without
// properties has its first and last block read for that. A difference is a
// [*corrupt.Error].
func (r *Reader) CheckBounds(smallest, largest []byte) error {
	lo, hi := r.props.Smallest, r.props.Largest
	if !r.props.Present {
		it := r.NewIter(nil)
		if it.First() {
			lo = bytes.Clone(it.Key())
		}
		if it.Last() {
			hi = bytes.Clone(it.Key())
		}
		if err := errors.Join(it.Err(), it.Close()); err != nil {
			return err
		}
	}
	if smallest != nil && !bytes.Equal(lo, smallest) || largest != nil && !bytes.Equal(hi, largest) {
		return corrupt.New(r.name, corrupt.Table, -1, "keys run from %s to %s, want %s to %s",
			keys.Format(lo), keys.Format(hi), keys.Format(smallest), keys.Format(largest))
	}
	return nil
}

// Close releases the file and the memory. Iterators and Results must be gone.
func (r *Reader) Close() error {
	var err error
	if r.cache != nil && r.idx.pinned != nil {
		r.idx.release(r.cache)
	}
	if r.unmap != nil {
		err = r.unmap()
		r.mapped, r.unmap = nil, nil
	}
	if r.f != nil {
		err = errors.Join(err, r.f.Close())
		r.f = nil
	}
	return err
}
