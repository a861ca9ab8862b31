package trace

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
)

// readAll collects a reader's references in small batches, so that batch ends
// fall everywhere.
func readAll(r RefReader) ([]Ref, error) {
	var all []Ref
	buf := make([]Ref, 3)
	for {
		n, err := r.ReadRefs(buf)
		all = append(all, buf[:n]...)
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return all, err
		}
	}
}

func gz(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	w.Write(b)
	w.Close()
	return out.Bytes()
}

const lackeySample = `==11124== Lackey, an example Valgrind tool
==11124== Command: /bin/ls
==11124== 
I  0401ab70,3
 S 1fff000638,8
--11124-- a line of -v
SB 04018db0
 M 04033e06,1

 L 1fff000638,32
`

func TestLackey(t *testing.T) {
	want := []Ref{
		{0x401ab70, 3, RefInstr}, {0x1fff000638, 8, RefStore},
		{0x4033e06, 1, RefModify}, {0x1fff000638, 32, RefLoad},
	}
	for name, in := range map[string]string{
		"as printed":   lackeySample,
		"no final end": strings.TrimRight(lackeySample, "\n"),
		"gzip":         string(gz([]byte(lackeySample))),
		"CRLF":         strings.ReplaceAll(lackeySample, "\n", "\r\n"),
		"BOM":          "\xef\xbb\xbf" + lackeySample,
		"one space":    strings.ReplaceAll(lackeySample, "I  ", "I "),
		"0x":           strings.ReplaceAll(lackeySample, " 0401ab70", " 0x0401ab70"),
	} {
		t.Run(name, func(t *testing.T) {
			r, err := NewRefReader(strings.NewReader(in), nil)
			require.NoError(t, err)
			got, err := readAll(r)
			require.NoError(t, err)
			if d := cmp.Diff(want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestList(t *testing.T) {
	for _, in := range []string{"8,7,4w,2", "8\n7\n4w\n2\n", "# pages\n8, 7 ,\t0x4W 2", "8,7,4w,2\r\n"} {
		r, err := NewRefReader(strings.NewReader(in), nil)
		require.NoError(t, err)
		got, err := readAll(r)
		require.NoError(t, err, in)
		want := []Ref{{8, 0, RefLoad}, {7, 0, RefLoad}, {4, 0, RefStore}, {2, 0, RefLoad}}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%q: %s", in, d)
		}
	}
}

func randomRefs(seed uint64, n int) []Ref {
	rng := rand.New(rand.NewPCG(seed, 1))
	refs := make([]Ref, n)
	for i := range refs {
		refs[i] = Ref{Addr: rng.Uint64() >> rng.Uint32N(64), Size: rng.Uint32() >> rng.Uint32N(32), Kind: RefKind(rng.Uint32N(4))}
	}
	return refs
}

func TestVMTRoundTrip(t *testing.T) {
	want := randomRefs(1, 50000)
	var file bytes.Buffer
	w := NewVMTWriter(&file)
	require.NoError(t, w.Write(want[:7]))
	require.NoError(t, w.Write(want[7:]))
	require.NoError(t, w.Close())
	r, err := NewRefReader(&file, nil)
	require.NoError(t, err)
	got, err := readAll(r)
	require.NoError(t, err)
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// TestVMTBytes pins the format to hand-made bytes, so that writer and reader
// cannot drift together.
func TestVMTBytes(t *testing.T) {
	raw := "VMT1\n" +
		"\x0c\x80\x20" + // I, size 3, +0x800
		"\x21\x0a" + // L, size 8, +5
		"\x22\x09" + // S, size 8, -5
		"\xff\x80\x01\x02" // M, size 128, +1
	r, err := NewRefReader(strings.NewReader(raw), nil)
	require.NoError(t, err)
	got, err := readAll(r)
	require.NoError(t, err)
	want := []Ref{{0x800, 3, RefInstr}, {5, 8, RefLoad}, {0, 8, RefStore}, {1, 128, RefModify}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// endless yields a lackey line for ever without holding any.
type endless struct{ left int64 }

func (e *endless) Read(p []byte) (int, error) {
	const line = " S 1fff000638,8\n"
	if e.left <= 0 {
		return 0, io.EOF
	}
	n := 0
	for len(p)-n >= len(line) && e.left > 0 {
		n += copy(p[n:], line)
		e.left--
	}
	return n, nil
}

func TestFault(t *testing.T) {
	t.Run("B26_trace_parse", testMalformed)
	t.Run("B27_streamed_in_constant_memory", func(t *testing.T) {
		const n = 4 << 20 // 64 MiB of text
		r, err := NewRefReader(&endless{left: n}, nil)
		require.NoError(t, err)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		count := 0
		require.NoError(t, EachBatch(r, func(refs []Ref) error { count += len(refs); return nil }))
		runtime.ReadMemStats(&after)
		require.Equal(t, n, count)
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 1<<20 {
			t.Errorf("reading %d references allocated %d bytes, want at most 1 MiB", n, grown)
		}
	})
}

func testMalformed(t *testing.T) {
	good := "I  0401ab70,3\n"
	long := strings.Repeat("x", 1<<20)
	for _, c := range []struct{ name, in, want string }{
		{"garbage line", good + "hello world\n", `line 2: col 1: unknown operation "hello" (want I, L, S or M)`},
		{"missing field", good + " L 1000\n", `line 2: col 8: missing size`},
		{"missing address", good + " L\n", `line 2: col 3: missing address`},
		{"bad address", strings.Repeat(good, 16) + "L 0xZZ,4\n", `line 17: col 3: bad address "0xZZ"`},
		{"hex above 64 bits", good + " L 1ffffffffffffffff,8\n", `line 2: col 4: bad address "1ffffffffffffffff"`},
		{"negative size", good + " L 1000,-8\n", `line 2: col 9: bad size "-8"`},
		{"size above 32 bits", good + " L 1000,4294967296\n", `line 2: col 9: bad size "4294967296"`},
		{"unknown op", good + " X 1000,8\n", `line 2: col 2: unknown operation "X" (want I, L, S or M)`},
		{"NUL", good + " L 10\x0000,8\n", `line 2: col 6: NUL byte`},
		{"1 MiB line", good + long + "\n", `line 2: col 1: line longer than 65536 bytes: "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"…`},
		{"empty file", "", `line 1: empty trace: no references`},
		{"only messages", "==1== hi\n", `line 2: empty trace: no references`},
		{"negative page", "3,4,-3\n", `line 1: col 5: bad page number "-3"`},
		{"page above 64 bits", "18446744073709551616\n", `line 1: col 1: bad page number "18446744073709551616"`},
		{"list word", "1,zz\n", `line 1: col 3: bad page number "zz"`},
		{"vmt magic only half", "VMT", `line 1: col 1: unknown operation "VMT" (want I, L, S or M)`},
		{"vmt cut record", "VMT1\n\x0c", `offset 0x5: record cut short`},
		{"vmt cut number", "VMT1\n\x0c\x02\x0c\x80", `offset 0x7: record cut short`},
		{"vmt long number", "VMT1\n\x0c" + strings.Repeat("\xff", 11), `offset 0x5: number longer than 64 bits`},
		{"vmt huge size", "VMT1\n\xfc\x80\x80\x80\x80\x10\x00", `offset 0x5: size above 4 GiB`},
		{"gzip cut", string(gz([]byte(lackeySample))[:60]), `compressed data cut short`},
		{"gzip cut vmt", string(gz([]byte("VMT1\n" + strings.Repeat("\x0c\x03\x11\x09", 50000)))[:80]), `compressed data cut short`},
		{"gzip header", "\x1f\x8b\x08", `offset 0x0: bad gzip header: unexpected EOF`},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "_"), func(t *testing.T) {
			msg := strictError(t, c.in)
			require.Contains(t, msg, c.want)
			lenientSkips(t, c.in)
		})
	}
}

// strictError reads in strictly and returns the message, which must be that of
// a ParseError and come again.
func strictError(t *testing.T, in string) string {
	t.Helper()
	r, err := NewRefReader(strings.NewReader(in), &RefOptions{Name: "t"})
	if err == nil {
		_, err = readAll(r)
		_, again := r.ReadRefs(make([]Ref, 1))
		require.Equal(t, err, again, "the error must come again")
	}
	var pe *ParseError
	require.True(t, errors.As(err, &pe), "got %T %v", err, err)
	require.Equal(t, "t", pe.File)
	return err.Error()
}

// lenientSkips reads in leniently: no error but for a file that has no
// beginning, and something is counted unless nothing was there.
func lenientSkips(t *testing.T, in string) {
	t.Helper()
	r, err := NewRefReader(strings.NewReader(in), &RefOptions{Lenient: true})
	if err != nil {
		require.Contains(t, err.Error(), "header")
		return
	}
	_, err = readAll(r)
	require.NoError(t, err)
	if in != "" && in[0] != '=' {
		require.EqualValues(t, 1, r.Skipped())
	}
}

func TestLenientGoesOn(t *testing.T) {
	in := "I  1000,3\nhello\n L 2000\n L 3000,8\n" + strings.Repeat("z", 1<<20) + "\n S 4000,4\n"
	r, err := NewRefReader(strings.NewReader(in), &RefOptions{Lenient: true})
	require.NoError(t, err)
	got, err := readAll(r)
	require.NoError(t, err)
	require.Len(t, got, 3)
	require.EqualValues(t, 3, r.Skipped())
}

func TestGenerators(t *testing.T) {
	for _, spec := range []string{"zipf", "uniform", "loop", "scan", "stride:stride=64", "phases:phases=3"} {
		sep := ":"
		if strings.Contains(spec, ":") {
			sep = ","
		}
		spec += sep + "n=20000,pages=100,seed=5,writes=0.5"
		t.Run(spec, func(t *testing.T) {
			var runs [2][]Ref
			for i := range runs {
				g, err := ParseGenerator(spec)
				require.NoError(t, err)
				runs[i], err = readAll(g)
				require.NoError(t, err)
			}
			require.Len(t, runs[0], 20000)
			require.Equal(t, runs[0], runs[1], "same seed, same trace")
			stores := 0
			for _, r := range runs[0] {
				require.Less(t, r.Addr, uint64(100*4096))
				if r.Kind == RefStore {
					stores++
				}
			}
			require.InDelta(t, 10000, stores, 400)
		})
	}
	for _, bad := range []string{"nope", "zipf:n", "zipf:n=x", "zipf:s=99", "zipf:s=NaN", "loop:pages=-1", "loop:q=1", "zipf:writes=2", "phases:phases=-1", "loop:n=-4",
		"zipf:n=0", "zipf:pages=0", "zipf:s=0.0", "stride:stride=0", "phases:phases=0"} {
		_, err := ParseGenerator(bad)
		require.Error(t, err, bad)
	}
}

// TestZipfShape compares the draws with the law they claim to follow.
func TestZipfShape(t *testing.T) {
	const n = 400000
	g, err := NewGenerator(Pattern{Kind: "zipf", N: n, Pages: 50, S: 1, Seed: 3})
	require.NoError(t, err)
	count := map[uint64]int{}
	require.NoError(t, EachBatch(g, func(refs []Ref) error {
		for _, r := range refs {
			count[r.Addr]++
		}
		return nil
	}))
	best, harmonic := 0, 0.0
	for _, c := range count {
		best = max(best, c)
	}
	for i := 1; i <= 50; i++ {
		harmonic += 1 / float64(i)
	}
	require.InEpsilon(t, n/harmonic, best, 0.03)
}

func FuzzRefReader(f *testing.F) {
	f.Add([]byte(lackeySample))
	f.Add([]byte("8,7,4w\n0x12"))
	f.Add([]byte("VMT1\n\x0c\x80\x20\xff\x80\x01\x02"))
	f.Add(gz([]byte(lackeySample)))
	f.Fuzz(func(t *testing.T, in []byte) {
		for _, lenient := range []bool{false, true} {
			r, err := NewRefReader(bytes.NewReader(in), &RefOptions{Lenient: lenient})
			if err != nil {
				continue
			}
			_, err = readAll(r)
			var pe *ParseError
			if err != nil && (lenient || !errors.As(err, &pe)) {
				t.Fatalf("lenient=%v: %v", lenient, err)
			}
		}
	})
}

func FuzzVMTRoundTrip(f *testing.F) {
	f.Add([]byte("VMT1\n\x0c\x80\x20\xff\x80\x01\x02"))
	f.Fuzz(func(t *testing.T, in []byte) {
		r, err := NewVMTReader(bytes.NewReader(in), nil)
		if err != nil {
			return
		}
		want, _ := readAll(r)
		var file bytes.Buffer
		w := NewVMTWriter(&file)
		require.NoError(t, w.Write(want))
		require.NoError(t, w.Close())
		again, err := NewRefReader(&file, nil)
		require.NoError(t, err)
		got, err := readAll(again)
		require.NoError(t, err)
		if d := cmp.Diff(want, got); d != "" {
			t.Fatal(d)
		}
	})
}

func FuzzGenerator(f *testing.F) {
	f.Add("zipf:n=10,pages=5,s=1.5")
	f.Add("scan:n=100,pages=1")
	f.Fuzz(func(t *testing.T, spec string) {
		kind, _, _ := strings.Cut(spec, ":")
		g, err := ParseGenerator(spec + ",pages=77") // bounded memory
		if kind == spec || err != nil {
			return
		}
		_, err = g.ReadRefs(make([]Ref, 100))
		if err != nil && err != io.EOF {
			t.Fatal(err)
		}
	})
}

func BenchmarkReadRefs(b *testing.B) {
	var file, text bytes.Buffer
	w := NewVMTWriter(&file)
	g, err := NewGenerator(Pattern{Kind: "zipf", N: 1 << 20})
	require.NoError(b, err)
	require.NoError(b, EachBatch(g, func(refs []Ref) error {
		for _, r := range refs {
			fmt.Fprintf(&text, " %c %08x,%d\n", r.Kind.Letter(), r.Addr, r.Size)
		}
		return w.Write(refs)
	}))
	require.NoError(b, w.Close())
	for name, data := range map[string][]byte{"vmt.gz": file.Bytes(), "lackey": text.Bytes()} {
		b.Run("format="+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r, err := NewRefReader(bytes.NewReader(data), nil)
				if err == nil {
					err = EachBatch(r, func([]Ref) error { return nil })
				}
				require.NoError(b, err)
			}
			b.ReportMetric(float64(b.N)*(1<<20)/b.Elapsed().Seconds()/1e6, "Mref/s")
		})
	}
}
