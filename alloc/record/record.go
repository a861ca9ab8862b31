package record

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/memlab-go/memlab/alloc"
)

// Options says how a trace is written. Zero fields mean the defaults.
type Options struct {
	Gzip   bool // compress the trace; Create does for names that end in .gz
	Calloc bool // write Calloc as "c id count size", which few tools read; else as "a id bytes"
	Weight int  // the header's fourth integer; 1
}

// A Recorder is an allocator that notes each call of another; see [New]. It
// implements [alloc.Aligned], [alloc.Sizer], [alloc.Walker], [alloc.Checker] and
// [alloc.Statser] as [alloc.LockedAllocator] does. It is safe for concurrent
// use.
type Recorder struct {
	mu   sync.Mutex
	a    *alloc.LockedAllocator // for the optional interfaces; its lock is never contended
	o    Options
	done func(write func(io.Writer) error) error // hands the trace over, once
	buf  bytes.Buffer                            // the operations, compressed
	zip  *gzip.Writer                            // into buf

	ids        map[uintptr]block
	nextID     int
	ops        int
	live, peak int // bytes asked for
}

// A block is what the recorder knows of a live block.
type block struct{ id, size int }

// ErrClosed says that Close has been called. The allocator behind the recorder
// goes on working; nothing is noted.
var ErrClosed = errors.New("record: recorder closed")

// New returns a recorder of a that writes its trace to w when it is closed. A
// nil o means the defaults. a must not be used directly meanwhile: a block the
// recorder has not seen allocated is left out of the trace.
func New(a alloc.Allocator, w io.Writer, o *Options) *Recorder {
	return newRecorder(a, o, func(write func(io.Writer) error) error { return write(w) })
}

// Create returns a recorder of a that makes the file name when it is closed,
// compressed if name ends in .gz. The file appears whole or not at all. An error
// means that no file can be made there.
func Create(a alloc.Allocator, name string, o *Options) (*Recorder, error) {
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*.tmp")
	if err != nil {
		return nil, fmt.Errorf("record: %w", err)
	}
	var opts Options
	if o != nil {
		opts = *o
	}
	opts.Gzip = opts.Gzip || strings.HasSuffix(name, ".gz")
	return newRecorder(a, &opts, func(write func(io.Writer) error) error {
		err := write(f)
		if err == nil {
			err = f.Chmod(0o644)
		}
		if cerr := f.Close(); err == nil {
			err = cerr
		}
		if err == nil {
			err = os.Rename(f.Name(), name)
		}
		if err != nil {
			os.Remove(f.Name())
		}
		return err
	}), nil
}

func newRecorder(a alloc.Allocator, o *Options, done func(func(io.Writer) error) error) *Recorder {
	r := &Recorder{a: alloc.Locked(a), done: done, ids: map[uintptr]block{}}
	if o != nil {
		r.o = *o
	}
	if r.o.Weight == 0 {
		r.o.Weight = 1
	}
	r.zip, _ = gzip.NewWriterLevel(&r.buf, gzip.BestSpeed) // the level is good
	return r
}

// Malloc is the allocator's, noted as "a id size".
func (r *Recorder) Malloc(size int) ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.malloc(r.a.Malloc(size))
}

// MallocAligned is the allocator's, noted as Malloc is.
func (r *Recorder) MallocAligned(size, align int) ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.malloc(r.a.MallocAligned(size, align))
}

func (r *Recorder) malloc(b []byte, err error) ([]byte, error) {
	if err == nil {
		r.note("a %d %d\n", r.add(b), len(b))
	}
	return b, err
}

// Calloc is the allocator's, noted as Options.Calloc says.
func (r *Recorder) Calloc(count, size int) ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b, err := r.a.Calloc(count, size)
	if err == nil && r.o.Calloc {
		r.note("c %d %d %d\n", r.add(b), count, size)
		return b, nil
	}
	return r.malloc(b, err)
}

// Realloc is the allocator's, noted as "r id size", "a id size" for a nil b and
// "f id" for a size of 0.
func (r *Recorder) Realloc(b []byte, size int) ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n, err := r.a.Realloc(b, size)
	r.moved(b, n, err)
	return n, err
}

// ReallocAligned is the allocator's, noted as Realloc is.
func (r *Recorder) ReallocAligned(b []byte, size, align int) ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n, err := r.a.ReallocAligned(b, size, align)
	r.moved(b, n, err)
	return n, err
}

// moved notes that b has become n.
func (r *Recorder) moved(b, n []byte, err error) {
	old, known := r.ids[addr(b)]
	switch {
	case err != nil:
	case n == nil:
		r.free(b)
	case b == nil || !known:
		r.note("a %d %d\n", r.add(n), len(n))
	default:
		delete(r.ids, addr(b))
		r.ids[addr(n)] = block{old.id, len(n)}
		r.grow(len(n) - old.size)
		r.note("r %d %d\n", old.id, len(n))
	}
}

// Free is the allocator's, noted as "f id".
func (r *Recorder) Free(b []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.a.Free(b)
	r.free(b)
}

// free notes that b is gone, if it was known.
func (r *Recorder) free(b []byte) {
	if old, known := r.ids[addr(b)]; known && b != nil {
		delete(r.ids, addr(b))
		r.grow(-old.size)
		r.note("f %d\n", old.id)
	}
}

// Usable is the allocator's.
func (r *Recorder) Usable(b []byte) int { return r.a.Usable(b) }

// Stats is the allocator's.
func (r *Recorder) Stats() alloc.Stats { return r.a.Stats() }

// Blocks is a snapshot of the allocator's.
func (r *Recorder) Blocks() iter.Seq[alloc.Block] { return r.a.Blocks() }

// Check is the allocator's.
func (r *Recorder) Check() error { return r.a.Check() }

// Close writes the trace. The allocator stays open and can be used through the
// recorder or directly; nothing more is noted. Blocks that are live are never
// freed in the trace. A second Close returns [ErrClosed].
func (r *Recorder) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.zip == nil {
		return ErrClosed
	}
	err := r.zip.Close()
	r.zip = nil
	if err == nil {
		err = r.done(r.write)
	}
	r.buf = bytes.Buffer{}
	if err != nil {
		return fmt.Errorf("record: %w", err)
	}
	return nil
}

// write writes the header and the operations to w. Compressed, they are two gzip
// members one after the other, which is a gzip file too.
func (r *Recorder) write(w io.Writer) error {
	head := fmt.Sprintf("%d\n%d\n%d\n%d\n", r.peak, r.nextID, r.ops, r.o.Weight)
	if r.o.Gzip {
		z := gzip.NewWriter(w)
		if _, err := io.WriteString(z, head); err != nil {
			return err
		}
		if err := z.Close(); err != nil {
			return err
		}
		_, err := r.buf.WriteTo(w)
		return err
	}
	if _, err := io.WriteString(w, head); err != nil {
		return err
	}
	body, err := gzip.NewReader(&r.buf)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, body)
	return err
}

// add makes b a known block and returns its id.
func (r *Recorder) add(b []byte) int {
	id := r.nextID
	if r.zip == nil {
		return id
	}
	r.nextID++
	r.ids[addr(b)] = block{id, len(b)}
	r.grow(len(b))
	return id
}

// grow counts n more live bytes.
func (r *Recorder) grow(n int) {
	r.live += n
	r.peak = max(r.peak, r.live)
}

// note writes one operation.
func (r *Recorder) note(format string, args ...any) {
	if r.zip == nil {
		return
	}
	r.ops++
	fmt.Fprintf(r.zip, format, args...) // into memory: cannot fail
}
