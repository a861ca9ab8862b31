package trace

import (
	"io"
)

// A RefKind says what a memory reference does.
type RefKind uint8

// The kinds of reference, with the letters and the codes that lackey text and
// .vmt files use.
const (
	RefInstr  RefKind = iota // I: instruction fetch
	RefLoad                  // L: data load
	RefStore                 // S: data store
	RefModify                // M: load and store of one instruction, one reference
)

// Letter returns lackey's letter for k: I, L, S or M.
func (k RefKind) Letter() byte { return "ILSM"[k&3] }

// Writes reports whether the reference changes memory: stores and modifies do.
func (k RefKind) Writes() bool { return k >= RefStore }

// A Ref is one memory reference: Size bytes from Addr on.
type Ref struct {
	Addr uint64
	Size uint32 // bytes; 0 when the trace does not say
	Kind RefKind
}

// A RefReader streams the references of a trace in batches.
type RefReader interface {
	// ReadRefs fills refs from the front and returns how many it filled. At
	// the end of the trace it returns 0 and io.EOF, at a malformed record the
	// references before it together with a *ParseError; either is repeated by
	// later calls. It does not allocate on the way.
	ReadRefs(refs []Ref) (int, error)

	// Skipped returns how many malformed records were left out so far. It is
	// 0 unless the reader is lenient.
	Skipped() int64
}

// RefOptions says how a trace of memory references is read. Nil means the
// defaults.
type RefOptions struct {
	Name    string // of the trace, for error messages
	Lenient bool   // skip and count malformed records instead of stopping
}

// name returns the trace's name, also of nil options.
func (o *RefOptions) name() string {
	if o == nil {
		return ""
	}
	return o.Name
}

// lenient reports whether malformed records are skipped.
func (o *RefOptions) lenient() bool { return o != nil && o.Lenient }

// BatchRefs is a batch size for [RefReader.ReadRefs] that keeps the batch
// inside a level-one data cache and makes the cost of a call vanish.
const BatchRefs = 2048

// EachBatch reads r to its end in batches and hands each to f, which must not
// keep the slice. It stops at the first error of either and returns it; the
// end of the trace is no error.
func EachBatch(r RefReader, f func([]Ref) error) error {
	buf := make([]Ref, BatchRefs)
	for {
		n, err := r.ReadRefs(buf)
		if n > 0 {
			if ferr := f(buf[:n]); ferr != nil {
				return ferr
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// A SliceReader reads references from memory. The slice stays the caller's.
type SliceReader struct{ refs []Ref }

// NewSliceReader returns a reader of refs.
func NewSliceReader(refs []Ref) *SliceReader { return &SliceReader{refs} }

// ReadRefs implements [RefReader].
func (s *SliceReader) ReadRefs(refs []Ref) (int, error) {
	if len(s.refs) == 0 {
		return 0, io.EOF
	}
	n := copy(refs, s.refs)
	s.refs = s.refs[n:]
	return n, nil
}

// Skipped implements [RefReader]; it is always 0.
func (s *SliceReader) Skipped() int64 { return 0 }
