package trace

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// A lineReader hands out the lines of a text trace one at a time, in memory
// that does not grow with the trace.
type lineReader struct {
	file string
	r    *bufio.Reader
	max  int   // bytes of a line
	left int64 // bytes that may still be read
	line int   // number of the line handed out last
}

func newLineReader(r io.Reader, file string, l Limits) *lineReader {
	return &lineReader{file: file, r: bufio.NewReaderSize(r, max(l.MaxLine+2, 1<<16)), max: l.MaxLine, left: l.MaxBytes}
}

// next returns the next line that is not blank, without its end (\n or \r\n);
// it is valid until the call after. The error is io.EOF at the end, else a
// *ParseError.
func (lr *lineReader) next() ([]byte, error) {
	for {
		b, err := lr.r.ReadSlice('\n')
		if len(b) > 0 {
			lr.line++
		}
		if errors.Is(err, bufio.ErrBufferFull) || len(b) > lr.max {
			return nil, lr.fail(0, fmt.Sprintf("line longer than %d bytes", lr.max))
		}
		if lr.left -= int64(len(b)); lr.left < 0 {
			return nil, lr.fail(0, "trace larger than its limit")
		}
		if err != nil && err != io.EOF {
			lr.line = max(lr.line, 1)
			return nil, lr.fail(0, err.Error())
		}
		if lr.line == 1 {
			b = bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))
		}
		b = bytes.TrimSuffix(b, []byte("\n"))
		b = bytes.TrimSuffix(b, []byte("\r"))
		if len(bytes.Trim(b, " \t")) > 0 {
			return b, nil
		}
		if err == io.EOF {
			return nil, io.EOF
		}
	}
}

// fail makes the error for column col of the current line.
func (lr *lineReader) fail(col int, msg string) *ParseError {
	return &ParseError{File: lr.file, Line: lr.line, Col: col, Msg: msg}
}

// A field is one word of a line, with its column counted from 1.
type field struct {
	text []byte
	col  int
}

// fields splits line at blanks into at most len(out) words and returns how many
// there are in all.
func fields(line []byte, out []field) int {
	n := 0
	for i := 0; i < len(line); {
		if line[i] == ' ' || line[i] == '\t' {
			i++
			continue
		}
		start := i
		for i < len(line) && line[i] != ' ' && line[i] != '\t' {
			i++
		}
		if n < len(out) {
			out[n] = field{line[start:i], start + 1}
		}
		n++
	}
	return n
}

// parseInt reads a decimal number with an optional minus sign; ok is false for
// anything else and for what int64 cannot hold.
func parseInt(b []byte) (v int64, ok bool) {
	neg := len(b) > 0 && b[0] == '-'
	if neg {
		b = b[1:]
	}
	if len(b) == 0 || len(b) > 19 {
		return 0, false
	}
	var u uint64
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		u = u*10 + uint64(c-'0')
	}
	if u > 1<<63-1 {
		return 0, false
	}
	if neg {
		return -int64(u), true
	}
	return int64(u), true
}

// clip shortens text that an error message quotes.
func clip(b []byte) string {
	const longest = 40
	if len(b) > longest {
		return fmt.Sprintf("%q…", b[:longest])
	}
	return fmt.Sprintf("%q", b)
}
