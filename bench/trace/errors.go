package trace

import (
	"strconv"
	"strings"
)

// A ParseError says where a trace is malformed and what is wrong there. Line
// and Col count from 1; a Line of 0 means that the trace is binary and Offset
// (in bytes from the start of the decompressed data) says where.
type ParseError struct {
	File   string // name of the trace, "" if unknown
	Line   int    // line of a text trace, 0 in a binary one
	Col    int    // column in bytes, 0 when the whole line is meant
	Offset int64  // byte offset, used when Line is 0
	Msg    string // what is wrong, quoting the value
}

// Error formats e as `git.rep: line 17: col 3: bad address "0xZZ"`, and a
// binary trace's as `git.vmt: offset 0x40: record cut short`.
func (e *ParseError) Error() string {
	var sb strings.Builder
	if e.File != "" {
		sb.WriteString(e.File)
		sb.WriteString(": ")
	}
	if e.Line > 0 {
		sb.WriteString("line ")
		sb.WriteString(strconv.Itoa(e.Line))
		if e.Col > 0 {
			sb.WriteString(": col ")
			sb.WriteString(strconv.Itoa(e.Col))
		}
	} else {
		sb.WriteString("offset 0x")
		sb.WriteString(strconv.FormatInt(e.Offset, 16))
	}
	sb.WriteString(": ")
	sb.WriteString(e.Msg)
	return sb.String()
}
