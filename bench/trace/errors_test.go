package trace

import "testing"

func TestParseErrorFormat(t *testing.T) {
	for _, c := range []struct {
		err  ParseError
		want string
	}{
		{ParseError{File: "git.rep", Line: 17, Col: 3, Msg: `bad address "0xZZ"`}, `git.rep: line 17: col 3: bad address "0xZZ"`},
		{ParseError{Line: 17, Msg: "empty"}, "line 17: empty"},
		{ParseError{File: "a.vmt", Offset: 64, Msg: "record cut short"}, "a.vmt: offset 0x40: record cut short"},
	} {
		if got := c.err.Error(); got != c.want {
			t.Errorf("%+v.Error() = %q, want %q", c.err, got, c.want)
		}
	}
}
