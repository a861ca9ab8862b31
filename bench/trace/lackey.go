package trace

import (
	"bytes"
	"io"
	"math"
)

// A LackeyReader reads the text that "valgrind --tool=lackey --trace-mem=yes"
// writes, as it writes it:
//
//	==11124== Lackey, an example Valgrind tool
//	I  0401ab70,3
//	 S 1fff000638,8
//	 M 04033e06,1
//	SB 04018db0
//
// A line holds I, L, S or M, the address in hexadecimal and the size in bytes.
// Blank lines, valgrind's own lines (==pid==, --pid--, **pid**), superblock
// lines (--trace-superblocks=yes) and a byte order mark are passed over; lines
// may end in CR LF. Everything else is malformed: the output of the traced
// program, if it was not kept apart, is skipped by a lenient reader.
//
// Not safe for concurrent use.
type LackeyReader struct {
	lines   *lineScanner
	lenient bool
	skipped int64
	any     bool // a reference was read or skipped
	err     error
}

// NewLackeyReader returns a reader of the lackey text in r.
func NewLackeyReader(r io.Reader, o *RefOptions) *LackeyReader {
	return &LackeyReader{lines: newLineScanner(r, o.name()), lenient: o.lenient()}
}

// Skipped implements [RefReader].
func (l *LackeyReader) Skipped() int64 { return l.skipped }

// ReadRefs implements [RefReader].
func (l *LackeyReader) ReadRefs(refs []Ref) (int, error) {
	n := 0
	for n < len(refs) && l.err == nil {
		line, long, err := l.lines.next()
		if err != nil {
			l.err = l.end(err)
			break
		}
		if !long && parseLackey(line, &refs[n]) {
			n++
			l.any = true
			continue
		}
		if !long && isNoise(line) {
			continue
		}
		l.any = true
		if l.lenient {
			l.skipped++
			continue
		}
		if long {
			l.err = l.lines.errorAt(0, "line longer than %d bytes: %s", maxLine, quote(line))
		} else {
			l.err = explainLackey(l.lines, line)
		}
	}
	if n > 0 {
		return n, nil
	}
	return 0, l.err
}

// end judges the end of the stream: a trace without references is an error,
// and a cut stream is one that a lenient reader counts.
func (l *LackeyReader) end(err error) error {
	switch {
	case err == io.EOF && !l.any && !l.lenient:
		return &ParseError{File: l.lines.name, Line: l.lines.line + 1, Msg: "empty trace: no references"}
	case err != io.EOF && l.lenient:
		l.skipped++
		return io.EOF
	}
	return err
}

// parseLackey parses a line that is well-formed, fast. It refuses the others.
func parseLackey(line []byte, ref *Ref) bool {
	i := 0
	for i < len(line) && line[i] == ' ' {
		i++
	}
	if i+1 >= len(line) || line[i+1] != ' ' {
		return false
	}
	kind, ok := lackeyKind(line[i])
	if !ok {
		return false
	}
	for i++; i < len(line) && line[i] == ' '; i++ {
	}
	comma := bytes.IndexByte(line[i:], ',')
	if comma < 0 {
		return false
	}
	addr, ok := parseHex(line[i : i+comma])
	if !ok {
		return false
	}
	size, ok := parseDec(line[i+comma+1:], math.MaxUint32)
	if !ok || size == 0 {
		return false
	}
	*ref = Ref{Addr: addr, Size: uint32(size), Kind: kind}
	return true
}

func lackeyKind(c byte) (RefKind, bool) {
	switch c {
	case 'I':
		return RefInstr, true
	case 'L':
		return RefLoad, true
	case 'S':
		return RefStore, true
	case 'M':
		return RefModify, true
	}
	return 0, false
}

// isNoise reports whether the line is one that holds no reference by design.
func isNoise(line []byte) bool {
	if len(bytes.TrimSpace(line)) == 0 || isValgrindLine(line) {
		return true
	}
	if sb, ok := bytes.CutPrefix(line, []byte("SB ")); ok {
		_, ok := parseHex(sb)
		return ok
	}
	return false
}

// isValgrindLine reports whether line is a message of valgrind's core: ==pid==,
// --pid-- or **pid**, with a dash and a name for some tools' lines.
func isValgrindLine(line []byte) bool {
	if len(line) < 5 || line[0] != line[1] || line[0] != '=' && line[0] != '-' && line[0] != '*' {
		return false
	}
	i := 2
	for i < len(line) && line[i] >= '0' && line[i] <= '9' {
		i++
	}
	return i > 2 && i+1 < len(line) && line[i] == line[0] && line[i+1] == line[0]
}

// explainLackey finds what is wrong with a line that parseLackey refused.
func explainLackey(s *lineScanner, line []byte) error {
	if i := bytes.IndexByte(line, 0); i >= 0 {
		return s.errorAt(i, "NUL byte")
	}
	i := 0
	for i < len(line) && line[i] == ' ' {
		i++
	}
	if _, ok := lackeyKind(line[i]); !ok || i+1 < len(line) && line[i+1] != ' ' {
		word, _, _ := bytes.Cut(line[i:], []byte(" "))
		return s.errorAt(i, "unknown operation %s (want I, L, S or M)", quote(word))
	}
	for i++; i < len(line) && line[i] == ' '; i++ {
	}
	addr, size, comma := bytes.Cut(line[i:], []byte(","))
	if len(addr) == 0 {
		return s.errorAt(i, "missing address")
	}
	if _, ok := parseHex(addr); !ok {
		return s.errorAt(i, "bad address %s", quote(addr))
	}
	if i += len(addr) + 1; !comma || len(size) == 0 {
		return s.errorAt(i-1, "missing size")
	}
	return s.errorAt(i, "bad size %s", quote(size))
}
