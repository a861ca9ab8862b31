package record

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// write returns a log of the records.
func write(t testing.TB, records ...[]byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := NewWriter(&out, nil, 0)
	for _, r := range records {
		require.NoError(t, w.Append(r))
	}
	require.NoError(t, w.Flush())
	require.EqualValues(t, out.Len(), w.Size())
	return out.Bytes()
}

// readAll reads records until an error, which is io.EOF at a clean end.
func readAll(b []byte) (records [][]byte, r *Reader, err error) {
	r = NewReader(bytes.NewReader(b), int64(len(b)))
	for {
		rec, err := r.Next()
		if err != nil {
			return records, r, err
		}
		records = append(records, bytes.Clone(rec))
	}
}

func pattern(n int, c byte) []byte { return bytes.Repeat([]byte{c}, n) }

func TestMask(t *testing.T) {
	for _, crc := range []uint32{0, 1, 0xffffffff, 0xdeadbeef} {
		require.NotEqual(t, crc, Mask(crc))
		require.Equal(t, crc, Unmask(Mask(crc)))
	}
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sizes := rapid.SliceOfN(rapid.OneOf(rapid.IntRange(0, 100), rapid.IntRange(BlockSize-20, BlockSize+20),
			rapid.IntRange(0, 3*BlockSize)), 0, 12).Draw(t, "sizes")
		var out bytes.Buffer
		buf := make([]byte, 0, rapid.IntRange(1<<10, 4*BlockSize).Draw(t, "buffer"))
		w := NewWriter(&out, buf, 0)
		for i, n := range sizes {
			p := pattern(n, byte(i+1))
			at := w.Size()
			cut := rapid.IntRange(0, n).Draw(t, "cut")
			if err := w.Append(p[:cut], nil, p[cut:]); err != nil {
				t.Fatal(err)
			}
			if got := w.Size() - at; got != int64(EncodedLen(at, n)) {
				t.Fatalf("record of %d bytes at %#x took %d bytes, EncodedLen says %d", n, at, got, EncodedLen(at, n))
			}
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		got, r, err := readAll(out.Bytes())
		if err != io.EOF || len(got) != len(sizes) {
			t.Fatalf("read %d records of %d: %v", len(got), len(sizes), err)
		}
		for i, n := range sizes {
			if !bytes.Equal(got[i], pattern(n, byte(i+1))) {
				t.Fatalf("record %d differs", i)
			}
		}
		if len(sizes) > 0 && r.End() != w.Size() {
			t.Fatalf("end is %#x, want %#x", r.End(), w.Size())
		}
	})
}

// TestReopen appends to a log whose length is anywhere in a block.
func TestReopen(t *testing.T) {
	for n := BlockSize - 3*HeaderLen; n <= BlockSize+2; n++ {
		b := write(t, pattern(max(0, n-HeaderLen), 'a'))
		out := bytes.NewBuffer(b)
		w := NewWriter(out, nil, int64(len(b)))
		require.NoError(t, w.Append([]byte("second")))
		require.NoError(t, w.Flush())
		got, _, err := readAll(out.Bytes())
		require.Equal(t, io.EOF, err)
		require.Len(t, got, 2)
		require.Equal(t, "second", string(got[1]))
	}
}

type failingWriter struct{ n int }

func (f *failingWriter) Write(p []byte) (int, error) {
	if f.n -= len(p); f.n < 0 {
		return len(p) / 2, errors.New("disk full")
	}
	return len(p), nil
}

func TestWriterLatches(t *testing.T) {
	w := NewWriter(&failingWriter{n: 100}, nil, 0)
	require.NoError(t, w.Append(pattern(80, 'a')))
	require.NoError(t, w.Flush())
	require.NoError(t, w.Append(pattern(80, 'b')))
	require.EqualValues(t, 87, w.Written())
	require.EqualError(t, w.Flush(), "disk full")
	require.EqualValues(t, 87, w.Written())
	require.EqualError(t, w.Append([]byte("c")), "disk full")
	require.EqualError(t, w.Flush(), "disk full")
	require.Error(t, w.Err())
}

func TestWriterAllocatesNothing(t *testing.T) {
	w := NewWriter(io.Discard, make([]byte, 0, 1<<20), 0)
	a, b := pattern(12, 'a'), pattern(200, 'b')
	require.Zero(t, testing.AllocsPerRun(1000, func() {
		if w.Append(a, b) != nil || w.Flush() != nil {
			t.Fatal(w.Err())
		}
	}))
}

func TestSkip(t *testing.T) {
	var recs [][]byte
	for i := range 40 {
		recs = append(recs, pattern(3000, byte('a'+i%26)))
	}
	b := write(t, recs...)
	b[10_000] ^= 1
	b[70_000] ^= 1
	r := NewReader(bytes.NewReader(b), int64(len(b)))
	var got, lost int
	for {
		rec, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			lost++
			_, again := r.Next()
			require.Equal(t, err, again, "sticky until Skip")
			if !r.Skip() {
				break
			}
			continue
		}
		require.Len(t, rec, 3000)
		got++
	}
	require.Equal(t, 2, lost)
	require.Equal(t, len(recs)-2, got)
}

type failingReader struct{ *bytes.Reader }

func (failingReader) ReadAt([]byte, int64) (int, error) { return 0, errors.New("I/O error") }

func TestReadError(t *testing.T) {
	b := write(t, []byte("x"))
	r := NewReader(failingReader{bytes.NewReader(b)}, int64(len(b)))
	_, err := r.Next()
	require.Error(t, err)
	var e *Error
	require.False(t, errors.As(err, &e), "an I/O error is no damage")
	_, again := r.Next()
	require.Equal(t, err, again)

	r = NewReader(bytes.NewReader(b[:3]), int64(len(b)))
	_, err = r.Next()
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
}

// TestEveryFlip flips every bit of a log, one at a time: no record comes out
// changed, and damage is torn only when nothing valid is behind it.
func TestEveryFlip(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	var recs [][]byte
	for i := range 8 {
		p := make([]byte, 10+rng.IntN(30))
		for j := range p {
			p[j] = byte(rng.Uint32())
		}
		p[0] = byte(i)
		recs = append(recs, p)
	}
	b := write(t, recs...)
	last := len(b) - len(recs[7]) - HeaderLen
	for bit := range len(b) * 8 {
		b[bit/8] ^= 1 << (bit % 8)
		got, _, err := readAll(b)
		b[bit/8] ^= 1 << (bit % 8)
		var e *Error
		require.ErrorAs(t, err, &e, "bit %d", bit)
		require.Equal(t, bit/8 >= last, e.Torn(), "bit %d: %v", bit, err)
		for i := range got {
			require.Equal(t, recs[i], got[i])
		}
	}
}
