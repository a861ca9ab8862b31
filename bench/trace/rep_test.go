package trace

import (
	"bytes"
	"compress/gzip"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// read reads .rep text that a test wrote out.
func read(t *testing.T, text string) *Trace {
	t.Helper()
	tr, err := Read(strings.NewReader(text), "t.rep", nil)
	require.NoError(t, err)
	return tr
}

func TestReadDialects(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []Op
	}{
		{"classic", "100\n2\n3\n1\na 0 16\nr 0 32\nf 0\n",
			[]Op{{Kind: Malloc, Size: 16}, {Kind: Realloc, Size: 32}, {Kind: Free}}},
		{"header order of newer CMU traces", "1\n2\n2\n4096\na 0 16\nf 0\n", []Op{{Kind: Malloc, Size: 16}, {Kind: Free}}},
		{"free of nil", "100\n1\n1\n1\nf -1\n", []Op{{Kind: Free, ID: NoID}}},
		{"size 0", "100\n1\n1\n1\na 0 0\n", []Op{{}}},
		{"realloc of an id never allocated", "100\n2\n1\n1\nr 1 8\n", []Op{{Kind: Realloc, ID: 1, Size: 8}}},
		{"realloc of a freed id", "100\n1\n3\n1\na 0 8\nf 0\nr 0 9\n", []Op{{Size: 8}, {Kind: Free}, {Kind: Realloc, Size: 9}}},
		{"an id again after its free", "100\n1\n3\n1\na 0 8\nf 0\na 0 9\n", []Op{{Size: 8}, {Kind: Free}, {Size: 9}}},
		{"free of what a realloc to 0 ended", "100\n1\n3\n1\na 0 8\nr 0 0\nf 0\n", []Op{{Size: 8}, {Kind: Realloc}, {Kind: Free}}},
		{"one line more than the header says", "100\n1\n1\n1\na 0 8\nf 0\n", []Op{{Size: 8}, {Kind: Free}}},
		{"calloc", "100\n1\n1\n1\nc 0 3 8\n", []Op{{Kind: Calloc, Count: 3, Size: 8}}},
		{"crlf, blanks, no last newline, byte order mark", "\xef\xbb\xbf100\r\n1\r\n1\r\n1\r\n\r\n a\t0  8", []Op{{Size: 8}}},
		{"no operations", "100\n0\n0\n1\n", []Op{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := read(t, c.text)
			if d := cmp.Diff(c.want, got.Ops); d != "" {
				t.Errorf("operations (-want +got):\n%s", d)
			}
		})
	}
}

func TestReadHeaderOrders(t *testing.T) {
	for _, text := range []string{"4096\n2\n0\n1\n", "1\n2\n0\n4096\n"} {
		tr := read(t, text)
		require.EqualValues(t, 4096, tr.Suggested, text)
		require.EqualValues(t, 1, tr.Weight, text)
		require.Equal(t, 2, tr.IDs, text)
	}
}

func TestReadErrorsNameTheLine(t *testing.T) {
	const head = "100\n4\n3\n1\n"
	for _, c := range []struct{ name, text, want string }{
		{"empty", "", `t.rep: line 1: the trace ends before the header's heap size`},
		{"header cut", "100\n4\n", `t.rep: line 3: the trace ends before the header's number of operations`},
		{"header word", "100\nfour\n", `t.rep: line 2: col 1: bad header, want the number of ids: "four"`},
		{"header negative", "-100\n", `t.rep: line 1: col 1: bad header, want the heap size: "-100"`},
		{"header of two", "100 4\n", `t.rep: line 1: col 1: bad header, want the heap size: "100 4"`},
		{"too many ids", "100\n999999999\n1\n1\n", `t.rep: line 2: col 1: number of ids 999999999 is above the limit of 67108864`},
		{"unknown operation", head + "a 0 8\nx 0\n", `t.rep: line 6: col 1: unknown operation "x"`},
		{"missing size", head + "a 0\n", `t.rep: line 5: col 1: operation "a" wants 2 numbers, has 1`},
		{"extra field", head + "f 0 8\n", `t.rep: line 5: col 1: operation "f" wants 1 numbers, has 2`},
		{"bad size", head + "a 0 0x10\n", `t.rep: line 5: col 5: bad size "0x10"`},
		{"negative size", head + "a 0 -5\n", `t.rep: line 5: col 5: bad size "-5"`},
		{"huge size", head + "a 0 9223372036854775808\n", `t.rep: line 5: col 5: bad size "9223372036854775808"`},
		{"bad id", head + "a q 5\n", `t.rep: line 5: col 3: bad id "q"`},
		{"id -2", head + "f -2\n", `t.rep: line 5: col 3: bad id "-2"`},
		{"malloc of -1", head + "a -1 5\n", `t.rep: line 5: col 3: id -1 is only for a free of nil`},
		{"id out of range", head + "a 4 5\n", `t.rep: line 5: col 3: id 4 is not below the 4 ids of the header`},
		{"id live", head + "a 1 5\na 1 5\n", `t.rep: line 6: col 3: id 1 is live already`},
		{"free never allocated", head + "f 1\n", `t.rep: line 5: col 3: free of id 1, which was never allocated`},
		{"double free", head + "a 1 5\nf 1\nf 1\n", `t.rep: line 7: col 3: free of id 1, which is free already`},
		{"calloc overflow", head + "c 1 4294967296 4294967296\n", `t.rep: line 5: col 5: calloc of 4294967296 times 4294967296 bytes overflows`},
		{"too few", head + "a 0 8\n", `t.rep: line 6: the trace ends after 1 of 3 operations`},
		{"two too many", head + "a 0 8\nf 0\na 0 8\nf 0\na 0 8\n", `t.rep: line 9: col 1: more operations than the 3 of the header`},
		{"nul", head + "a 0 8\x00\n", `t.rep: line 5: col 5: bad size "8\x00"`},
		{"long line", head + "a 0 " + strings.Repeat("1", 1<<20) + "\n", `t.rep: line 5: line longer than 4096 bytes`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Read(strings.NewReader(c.text), "t.rep", nil)
			require.EqualError(t, err, c.want)
			var pe *ParseError
			require.ErrorAs(t, err, &pe)
		})
	}
}

func TestReadTruncatedGzip(t *testing.T) {
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	io.WriteString(z, "100\n400\n400\n1\n")
	for i := range 400 {
		io.WriteString(z, "a "+string(appendInt(nil, i))+" 8\n")
	}
	z.Close()
	_, err := Read(bytes.NewReader(buf.Bytes()), "t.rep.gz", nil)
	require.NoError(t, err)
	for cut := range buf.Len() {
		if cut == 0 {
			continue
		}
		_, err := Read(bytes.NewReader(buf.Bytes()[:cut]), "t.rep.gz", nil)
		var pe *ParseError
		require.ErrorAs(t, err, &pe, "cut at %d", cut)
	}
	require.ErrorContains(t, func() error {
		_, err := Read(bytes.NewReader(buf.Bytes()[:buf.Len()-4]), "t.rep.gz", nil)
		return err
	}(), "unexpected EOF")
}

func TestReadLimitsDecompressedSize(t *testing.T) {
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	io.WriteString(z, "100\n1\n1\n1\n"+strings.Repeat("\n", 1<<20))
	z.Close()
	_, err := Read(&buf, "bomb.rep.gz", &Limits{MaxBytes: 1 << 16})
	require.ErrorContains(t, err, "trace larger than its limit")
}

func appendInt(b []byte, i int) []byte {
	if i >= 10 {
		b = appendInt(b, i/10)
	}
	return append(b, byte('0'+i%10))
}

// genTrace draws a sound trace with every kind of operation.
func genTrace(t *rapid.T) *Trace {
	n := rapid.IntRange(1, 12).Draw(t, "ids")
	tr := &Trace{Name: "t", IDs: n, Suggested: rapid.Int64Range(2, 1<<40).Draw(t, "suggested"), Weight: 1}
	live := make([]bool, n)
	for range rapid.IntRange(0, 60).Draw(t, "ops") {
		id := rapid.IntRange(-1, n-1).Draw(t, "id")
		size := rapid.Int64Range(0, 1<<33).Draw(t, "size")
		switch {
		case id == NoID:
			tr.Ops = append(tr.Ops, Op{Kind: Free, ID: NoID})
		case live[id] && rapid.Bool().Draw(t, "free"):
			tr.Ops = append(tr.Ops, Op{Kind: Free, ID: int32(id)})
			live[id] = false
		case live[id] || rapid.IntRange(0, 9).Draw(t, "r") == 0:
			tr.Ops = append(tr.Ops, Op{Kind: Realloc, ID: int32(id), Size: size})
			live[id] = size > 0
		case rapid.Bool().Draw(t, "calloc"):
			tr.Ops = append(tr.Ops, Op{Kind: Calloc, ID: int32(id), Count: size % 100, Size: size})
			live[id] = true
		default:
			tr.Ops = append(tr.Ops, Op{Kind: Malloc, ID: int32(id), Size: size})
			live[id] = true
		}
	}
	return tr
}

func TestWritersRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := genTrace(t)
		if err := want.Check(); err != nil {
			t.Fatal(err)
		}
		for name, write := range map[string]func(io.Writer, *Trace) error{"rep": WriteRep, "compact": WriteCompact} {
			var buf bytes.Buffer
			if err := write(&buf, want); err != nil {
				t.Fatal(err)
			}
			got, err := Read(&buf, "t", nil)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if len(got.Ops) == 0 && len(want.Ops) == 0 {
				got.Ops = want.Ops
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Fatalf("%s (-want +got):\n%s", name, d)
			}
		}
	})
}

func TestHeadIsMarked(t *testing.T) {
	tr := read(t, "100\n3\n4\n1\na 0 8\na 1 8\nf 0\na 2 8\n")
	tr.Name = "x"
	h := tr.Head(3)
	require.Equal(t, "x (first 3 of 4 ops)", h.Label())
	require.Equal(t, 2, h.IDs)
	require.EqualValues(t, 16, h.Suggested)
	require.NoError(t, h.Check())
	require.Same(t, tr, tr.Head(4))
	require.Equal(t, "x (first 2 of 4 ops)", h.Head(2).Label(), "a prefix of a prefix is one of the whole")

	var buf bytes.Buffer
	require.NoError(t, WriteCompact(&buf, h))
	back, err := Read(&buf, "x", nil)
	require.NoError(t, err)
	require.Equal(t, h.Label(), back.Label())
}

func TestPeakLive(t *testing.T) {
	tr := read(t, "100\n3\n6\n1\na 0 10\nc 1 3 10\nr 0 5\nf 1\na 2 31\nf -1\n")
	require.EqualValues(t, 40, tr.PeakLive())
}
