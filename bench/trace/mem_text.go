package trace

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
)

// maxLine is the longest line of a text trace, in bytes. Lackey's own lines
// have 30; the limit bounds memory on files that are no traces at all.
const maxLine = 64 << 10

// A lineScanner splits a stream into lines without allocating. A line longer
// than maxLine is consumed whole and reported as too long.
type lineScanner struct {
	r     io.Reader
	name  string
	buf   []byte
	start int   // of the bytes not yet handed out
	end   int   // of the bytes read
	line  int   // number of the line handed out last, from 1
	base  int64 // offset of buf[0] in the stream
	err   error // of the reader
}

func newLineScanner(r io.Reader, name string) *lineScanner {
	return &lineScanner{r: r, name: name, buf: make([]byte, 2*maxLine)}
}

// next returns the next line without its end ("\n" or "\r\n"). The bytes are
// valid until the next call. long tells a line that was cut to maxLine bytes.
// At the end it returns io.EOF, and what the reader said if that failed.
func (s *lineScanner) next() (line []byte, long bool, err error) {
	for {
		if i := bytes.IndexByte(s.buf[s.start:s.end], '\n'); i >= 0 {
			line = s.buf[s.start : s.start+i]
			s.start += i + 1
			return s.finish(line)
		}
		if s.end-s.start > maxLine {
			return s.skipLong()
		}
		if s.err != nil {
			if s.start == s.end {
				return nil, false, s.endError()
			}
			line = s.buf[s.start:s.end]
			s.start = s.end
			return s.finish(line)
		}
		s.fill()
	}
}

// finish counts the line and strips what is no content: the byte order mark
// of the first line and the carriage return.
func (s *lineScanner) finish(line []byte) ([]byte, bool, error) {
	if s.line++; s.line == 1 {
		line = bytes.TrimPrefix(line, []byte(utf8BOM))
	}
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	return line, len(line) > maxLine, nil
}

// skipLong consumes the rest of a line that does not fit and returns its
// beginning.
func (s *lineScanner) skipLong() ([]byte, bool, error) {
	head := append([]byte(nil), s.buf[s.start:s.start+64]...)
	s.start = s.end
	for s.err == nil {
		s.fill()
		if i := bytes.IndexByte(s.buf[s.start:s.end], '\n'); i >= 0 {
			s.start += i + 1
			break
		}
		s.start = s.end
	}
	s.line++
	return head, true, nil
}

// fill reads more bytes, after moving the ones that are left to the front.
func (s *lineScanner) fill() {
	if s.start > 0 {
		copy(s.buf, s.buf[s.start:s.end])
		s.base += int64(s.start)
		s.end -= s.start
		s.start = 0
	}
	for range 100 { // a reader may return 0, nil a few times
		n, err := s.r.Read(s.buf[s.end:])
		s.end += n
		if err != nil {
			s.err = err
		}
		if n > 0 || err != nil {
			return
		}
	}
	s.err = io.ErrNoProgress
}

func (s *lineScanner) endError() error {
	if s.err == io.EOF {
		return io.EOF
	}
	msg := "read: " + s.err.Error()
	if s.err == io.ErrUnexpectedEOF {
		msg = "compressed data cut short"
	}
	return &ParseError{File: s.name, Line: s.line + 1, Msg: msg}
}

// errorAt makes the error for the line handed out last; col counts from 0.
func (s *lineScanner) errorAt(col int, format string, args ...any) *ParseError {
	return &ParseError{File: s.name, Line: s.line, Col: col + 1, Msg: fmt.Sprintf(format, args...)}
}

// quote returns b quoted, cut to a length that suits a message.
func quote(b []byte) string {
	const most = 40
	if len(b) > most {
		return strconv.Quote(string(b[:most])) + "…"
	}
	return strconv.Quote(string(b))
}

// parseHex reads a hexadecimal number of at most 64 bits, with or without 0x.
func parseHex(b []byte) (v uint64, ok bool) {
	if len(b) > 2 && b[0] == '0' && b[1]|0x20 == 'x' {
		b = b[2:]
	}
	if len(b) == 0 {
		return 0, false
	}
	for _, c := range b {
		var d byte
		switch {
		case c >= '0' && c <= '9':
			d = c - '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			d = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		if v>>60 != 0 {
			return 0, false
		}
		v = v<<4 | uint64(d)
	}
	return v, true
}

// parseDec reads a decimal number of at most limit.
func parseDec(b []byte, limit uint64) (v uint64, ok bool) {
	if len(b) == 0 {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		d := uint64(c - '0')
		if v > (limit-d)/10 {
			return 0, false
		}
		v = v*10 + d
	}
	return v, true
}
