package trace

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"strings"
	"sync/atomic"

	"github.com/klauspost/compress/gzip"
)

// sniffLen is how much of a text trace is looked at to tell its format.
const sniffLen = 4096

// utf8BOM is what some editors put in front of a text file.
const utf8BOM = "\xef\xbb\xbf"

// NewRefReader returns a reader for the memory trace in r, whose format it
// tells from the first bytes: gzip around anything, "VMT1", lackey text, or an
// OSTEP list of page numbers. Nothing beyond the first buffers is read ahead.
// Memory use does not depend on the length of the trace.
func NewRefReader(r io.Reader, o *RefOptions) (RefReader, error) {
	br := bufio.NewReaderSize(r, 64<<10)
	if head, _ := br.Peek(2); string(head) == "\x1f\x8b" {
		z, err := gzip.NewReader(br)
		if err != nil {
			return nil, &ParseError{File: o.name(), Msg: "bad gzip header: " + err.Error()}
		}
		br = bufio.NewReaderSize(z, 64<<10)
	}
	head, err := br.Peek(sniffLen)
	switch {
	case bytes.HasPrefix(head, []byte(vmtMagic)):
		return NewVMTReader(br, o)
	case len(head) == 0 && err != nil && err != io.EOF:
		return nil, wrapReadError(o.name(), 0, err)
	case looksLikeList(head):
		return NewListReader(br, o), nil
	}
	return NewLackeyReader(br, o), nil
}

// looksLikeList reports whether the first line with content begins like a
// number: lackey's lines begin with blanks or a letter.
func looksLikeList(head []byte) bool {
	for line := range bytes.Lines(bytes.TrimPrefix(head, []byte(utf8BOM))) {
		line = bytes.TrimRight(line, "\r\n")
		if len(bytes.TrimSpace(line)) == 0 || line[0] == '#' || isValgrindLine(line) {
			continue
		}
		c := bytes.TrimSpace(line)[0]
		return c >= '0' && c <= '9' || c == '-'
	}
	return false
}

// A RefFile is an open trace of memory references. Close it after use.
type RefFile struct {
	RefReader
	file *os.File
	size int64
	pos  atomic.Int64
}

// OpenRefs opens the trace named path as [NewRefReader] reads it. A path that
// begins with "gen:" names a generated trace, see [ParseGenerator].
func OpenRefs(path string, o *RefOptions) (*RefFile, error) {
	if spec, ok := strings.CutPrefix(path, "gen:"); ok {
		g, err := ParseGenerator(spec)
		if err != nil {
			return nil, err
		}
		return &RefFile{RefReader: g}, nil
	}
	opt := RefOptions{Name: path}
	if o != nil {
		opt = *o
		if opt.Name == "" {
			opt.Name = path
		}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	rf := &RefFile{file: f}
	if fi, err := f.Stat(); err == nil {
		rf.size = fi.Size()
	}
	rf.RefReader, err = NewRefReader(&countingReader{f, &rf.pos}, &opt)
	if err != nil {
		f.Close()
		return nil, err
	}
	return rf, nil
}

// ReadFrom makes a RefFile of the trace in r, which stays the caller's: Close
// does not close it. See [NewRefReader].
func ReadFrom(r io.Reader, o *RefOptions) (*RefFile, error) {
	rf := &RefFile{}
	var err error
	if rf.RefReader, err = NewRefReader(&countingReader{r, &rf.pos}, o); err != nil {
		return nil, err
	}
	return rf, nil
}

// IsList reports whether the trace is a list of plain numbers, page numbers
// most likely, see [ListReader].
func (f *RefFile) IsList() bool {
	_, ok := f.RefReader.(*ListReader)
	return ok
}

// Progress returns how much of the trace was read and how much there is: bytes
// of a file, references of a generated trace. The total is 0 when unknown.
func (f *RefFile) Progress() (done, total int64) {
	if g, ok := f.RefReader.(*Generator); ok {
		return g.Progress()
	}
	return f.pos.Load(), f.size
}

// Close closes the file. Later calls do nothing.
func (f *RefFile) Close() error {
	if f.file == nil {
		return nil
	}
	err := f.file.Close()
	f.file = nil
	return err
}

// countingReader counts the bytes read through it.
type countingReader struct {
	r io.Reader
	n *atomic.Int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// wrapReadError says at which offset of the decompressed data reading failed.
func wrapReadError(name string, off int64, err error) error {
	msg := "read: " + err.Error()
	if err == io.ErrUnexpectedEOF {
		msg = "compressed data cut short"
	}
	return &ParseError{File: name, Offset: off, Msg: msg}
}
