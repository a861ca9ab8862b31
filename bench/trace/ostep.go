package trace

import (
	"bytes"
	"io"
	"math"
)

// A ListReader reads a list of numbers: what the paging homework of OSTEP takes
// after -a ("8,7,4,2") or from its -f file (one a line). The numbers are page
// numbers there, so that a simulation of pages uses a page size of 1. Numbers
// are decimal, or hexadecimal after 0x, separated by commas, blanks or line
// ends; a # begins a comment. They become loads of size 0; a number with a w
// behind it ("7w") becomes a store.
//
// Not safe for concurrent use.
type ListReader struct {
	lines   *lineScanner
	lenient bool
	skipped int64
	any     bool
	rest    []byte // of the current line
	col     int    // of rest in its line, from 0
	err     error
}

// NewListReader returns a reader of the numbers in r.
func NewListReader(r io.Reader, o *RefOptions) *ListReader {
	return &ListReader{lines: newLineScanner(r, o.name()), lenient: o.lenient()}
}

// Skipped implements [RefReader].
func (l *ListReader) Skipped() int64 { return l.skipped }

// ReadRefs implements [RefReader].
func (l *ListReader) ReadRefs(refs []Ref) (int, error) {
	n := 0
	for n < len(refs) && l.err == nil {
		word, col, ok := l.word()
		if !ok {
			l.nextLine()
			continue
		}
		l.any = true
		if parseListWord(word, &refs[n]) {
			n++
		} else {
			l.bad(col, "bad page number %s", quote(word))
		}
	}
	if n > 0 {
		return n, nil
	}
	return 0, l.err
}

// word cuts the next word off the current line.
func (l *ListReader) word() (word []byte, col int, ok bool) {
	isSep := func(c byte) bool { return c == ',' || c == ' ' || c == '\t' }
	i := 0
	for i < len(l.rest) && isSep(l.rest[i]) {
		i++
	}
	j := i
	for j < len(l.rest) && !isSep(l.rest[j]) {
		j++
	}
	word, col = l.rest[i:j], l.col+i
	l.rest, l.col = l.rest[j:], l.col+j
	return word, col, j > i
}

// nextLine makes the next line the current one.
func (l *ListReader) nextLine() {
	line, long, err := l.lines.next()
	l.rest, l.col = nil, 0
	switch {
	case err == io.EOF && !l.any && !l.lenient:
		l.err = &ParseError{File: l.lines.name, Line: l.lines.line + 1, Msg: "empty trace: no page numbers"}
	case err != nil && err != io.EOF && l.lenient:
		l.skipped++
		l.err = io.EOF
	case err != nil:
		l.err = err
	case long:
		l.any = true
		l.bad(0, "line longer than %d bytes: %s", maxLine, quote(line))
	default:
		l.rest, _, _ = bytes.Cut(line, []byte("#"))
	}
}

// bad counts a malformed word, or stops at it.
func (l *ListReader) bad(col int, format string, args ...any) {
	if l.lenient {
		l.skipped++
		return
	}
	l.err = l.lines.errorAt(col, format, args...)
}

func parseListWord(word []byte, ref *Ref) bool {
	kind := RefLoad
	if n := len(word) - 1; n > 0 && word[n]|0x20 == 'w' {
		kind, word = RefStore, word[:n]
	}
	v, ok := parseDec(word, math.MaxUint64)
	if !ok && len(word) > 2 && word[1]|0x20 == 'x' {
		v, ok = parseHex(word)
	}
	*ref = Ref{Addr: v, Kind: kind}
	return ok
}
