package trace

import (
	"fmt"
	"io"
	"math"
)

// A RepReader reads the text form of allocation traces, the .rep files of
// malloc-lab, one operation at a time and in memory that grows only with the
// number of ids (one byte each). It takes every public dialect:
//
//	header            four integers, one a line: suggested heap size, ids, operations,
//	                  weight; or, as newer CMU traces have it, weight, ids, operations,
//	                  peak. The larger of the first and the last is taken for bytes.
//	a id size         malloc; size may be 0; an id may come again after its free
//	r id size         realloc; of an id that is not live it is malloc, to size 0 free
//	f id              free; -1 frees nil, and so does an id that a realloc to 0 ended
//	c id count size   calloc
//
// One line more than the header counts is read, too. Lines end in \n or \r\n;
// blank lines are skipped. Anything else is a *[ParseError].
type RepReader struct {
	lr     *lineReader
	lim    Limits
	check  checker
	header RepHeader
	read   int64 // operations handed out
}

// A RepHeader is what the first four lines of a .rep file say.
type RepHeader struct {
	Suggested int64 // bytes: the heap size to start with, or the peak payload
	IDs       int64
	Ops       int64
	Weight    int64
}

// NewRepReader reads the header of r, which holds plain text. File names the
// trace in errors; l may be nil.
func NewRepReader(r io.Reader, file string, l *Limits) (*RepReader, error) {
	lim := l.withDefaults()
	rr := &RepReader{lr: newLineReader(r, file, lim), lim: lim}
	var h [4]int64
	for i, what := range [...]string{"heap size", "number of ids", "number of operations", "weight"} {
		v, err := rr.headerLine(what)
		if err != nil {
			return nil, err
		}
		h[i] = v
		if i == 1 && v > int64(lim.MaxIDs) || i == 2 && v > int64(lim.MaxOps) {
			return nil, rr.lr.fail(1, fmt.Sprintf("%s %d is above the limit of %d", what, v, [...]int{1: lim.MaxIDs, 2: lim.MaxOps}[i]))
		}
	}
	rr.header = RepHeader{Suggested: max(h[0], h[3]), IDs: h[1], Ops: h[2], Weight: min(h[0], h[3])}
	rr.check.ids = int(h[1])
	return rr, nil
}

func (rr *RepReader) headerLine(what string) (int64, error) {
	line, err := rr.lr.next()
	if err == io.EOF {
		rr.lr.line++
		return 0, rr.lr.fail(0, "the trace ends before the header's "+what)
	}
	if err != nil {
		return 0, err
	}
	var f [1]field
	n := fields(line, f[:])
	v, ok := parseInt(f[0].text)
	if !ok || v < 0 || n != 1 {
		return 0, rr.lr.fail(f[0].col, fmt.Sprintf("bad header, want the %s: %s", what, clip(line)))
	}
	return v, nil
}

// Header returns what the trace says of itself.
func (rr *RepReader) Header() RepHeader { return rr.header }

// Next returns the next operation, io.EOF after the last, or a *[ParseError].
func (rr *RepReader) Next() (Op, error) {
	line, err := rr.lr.next()
	if err == io.EOF {
		if rr.read < rr.header.Ops {
			rr.lr.line++
			return Op{}, rr.lr.fail(0, fmt.Sprintf("the trace ends after %d of %d operations", rr.read, rr.header.Ops))
		}
		return Op{}, io.EOF
	}
	if err != nil {
		return Op{}, err
	}
	if rr.read > rr.header.Ops || rr.read >= int64(rr.lim.MaxOps) {
		return Op{}, rr.lr.fail(1, fmt.Sprintf("more operations than the %d of the header", rr.header.Ops))
	}
	rr.read++
	return rr.parse(line)
}

// parse reads one operation and checks it against those before it.
func (rr *RepReader) parse(line []byte) (Op, error) {
	var f [4]field
	n := fields(line, f[:])
	o, want := Op{}, 3
	switch string(f[0].text) {
	case "a":
		o.Kind = Malloc
	case "r":
		o.Kind = Realloc
	case "f":
		o.Kind, want = Free, 2
	case "c":
		o.Kind, want = Calloc, 4
	default:
		return o, rr.lr.fail(f[0].col, fmt.Sprintf("unknown operation %s", clip(f[0].text)))
	}
	if n != want {
		return o, rr.lr.fail(f[0].col, fmt.Sprintf("operation %q wants %d numbers, has %d", f[0].text, want-1, n-1))
	}
	id, ok := parseInt(f[1].text)
	if !ok || id < NoID || id > math.MaxInt32 {
		return o, rr.lr.fail(f[1].col, fmt.Sprintf("bad id %s", clip(f[1].text)))
	}
	o.ID = int32(id)
	for i := 2; i < want; i++ {
		v, ok := parseInt(f[i].text)
		if !ok || v < 0 {
			return o, rr.lr.fail(f[i].col, fmt.Sprintf("bad size %s", clip(f[i].text)))
		}
		o.Count, o.Size = o.Size, v
	}
	if at, msg := rr.check.check(o); msg != "" {
		return o, rr.lr.fail(f[at].col, msg)
	}
	return o, nil
}
