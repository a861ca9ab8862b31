package trace

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// Open reads the allocation trace in the file path: .rep text, plain or
// gzipped, or the compact form; the content decides, not the name. The trace is
// called after the file, without its extensions. l may be nil.
func Open(path string, l *Limits) (*Trace, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return Read(f, path, l)
}

// Read is [Open] of what r holds; file names it in errors.
func Read(r io.Reader, file string, l *Limits) (*Trace, error) {
	br := bufio.NewReaderSize(r, 1<<16)
	magic, err := br.Peek(len(compactMagic))
	if err != nil && err != io.EOF {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if string(magic) == compactMagic {
		return readCompact(br, file, l)
	}
	var text io.Reader = br
	if len(magic) >= 2 && magic[0] == 0x1f && magic[1] == 0x8b {
		if text, err = gzip.NewReader(br); err != nil {
			return nil, &ParseError{File: file, Line: 1, Msg: err.Error()}
		}
	}
	return readRep(text, file, l)
}

func readRep(r io.Reader, file string, l *Limits) (*Trace, error) {
	rr, err := NewRepReader(r, file, l)
	if err != nil {
		return nil, err
	}
	h := rr.Header()
	t := &Trace{Name: BaseName(file), Suggested: h.Suggested, Weight: h.Weight, IDs: int(h.IDs)}
	// The header is a promise, not a fact: memory grows with what is read.
	t.Ops = make([]Op, 0, min(h.Ops+1, 1<<16))
	for {
		o, err := rr.Next()
		if err == io.EOF {
			return t, nil
		}
		if err != nil {
			return nil, err
		}
		t.Ops = append(t.Ops, o)
	}
}

// BaseName returns the name of a trace file without directory and extensions:
// "git-log" for "traces/git-log.rep.gz".
func BaseName(file string) string {
	base := filepath.Base(file)
	for _, ext := range [...]string{".gz", ".rep", ".mlt"} {
		base = strings.TrimSuffix(base, ext)
	}
	return base
}
