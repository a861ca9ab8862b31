package record

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFault(t *testing.T) {
	t.Run("C04_cut_in_last_record", testCut)
	t.Run("C06_flip_in_last_record", testFlipLast)
	t.Run("C07_flip_mid_log", testFlipMid)
	t.Run("C07_flip_beside_zeros", testFlipZeros)
	t.Run("C08_zero_and_garbage_tail", testTails)
	t.Run("C10_length_lies", testLengths)
	t.Run("C11_fragment_sequences", testFragments)
	t.Run("C03_lost_sector", testHole)
}

func damage(t *testing.T, err error) *Error {
	t.Helper()
	var e *Error
	require.ErrorAs(t, err, &e)
	return e
}

// testCut cuts at every byte of the last record, which covers two blocks.
func testCut(t *testing.T) {
	first, last := pattern(BlockSize-300, 'a'), pattern(1000, 'b')
	b := write(t, first, last)
	at := int64(HeaderLen + len(first))
	for n := at; n < int64(len(b)); n++ {
		got, r, err := readAll(b[:n])
		require.Len(t, got, 1)
		require.Equal(t, at, r.End())
		if n == at {
			require.Equal(t, io.EOF, err)
			continue
		}
		if n == BlockSize {
			// The first fragment is whole, its rest is missing.
			require.Equal(t, Cut, damage(t, err).Reason)
		}
		e := damage(t, err)
		require.True(t, e.Torn(), "cut at %d: %v", n, err)
		require.Equal(t, at, e.Record)
	}
}

func testFlipLast(t *testing.T) {
	b := write(t, []byte("one"), []byte("two"), []byte("three"))
	b[len(b)-2] ^= 4
	got, r, err := readAll(b)
	require.Len(t, got, 2)
	e := damage(t, err)
	require.Equal(t, BadChecksum, e.Reason)
	require.True(t, e.Torn())
	require.Equal(t, r.End(), e.Off)
}

func testFlipMid(t *testing.T) {
	// In the block of the last record, and in a block before it; in payload,
	// checksum, length and type.
	recs := [][]byte{pattern(20000, 'a'), pattern(20000, 'b'), pattern(100, 'c'), pattern(100, 'd')}
	clean := write(t, recs...)
	third := len(clean) - 2*(HeaderLen+100)
	for _, at := range []int{50, third, third + 4, third + 5, third + 6, third + 50} {
		for bit := range 8 {
			b := bytes.Clone(clean)
			b[at] ^= 1 << bit
			got, _, err := readAll(b)
			e := damage(t, err)
			require.False(t, e.Torn(), "byte %d bit %d: %v", at, bit, err)
			require.False(t, e.Hole)
			require.Greater(t, e.Next, e.Off)
			require.Less(t, len(got), 3)
		}
	}
}

// testFlipZeros flips every bit of the headers and of some payload of records that
// hold whole sectors of zeros: none of it looks like a sector that was not written.
func testFlipZeros(t *testing.T) {
	for _, n := range []int{2048, BlockSize - 2*HeaderLen - 300, 3 * BlockSize} {
		zeros := make([]byte, n)
		copy(zeros, "key")
		clean := write(t, pattern(300, 'a'), zeros, pattern(300, 'b'))
		start := HeaderLen + 300
		for at := start; at < start+HeaderLen+600; at += 1 + (at-start)/HeaderLen*7 {
			for bit := range 8 {
				b := bytes.Clone(clean)
				b[at] ^= 1 << bit
				got, _, err := readAll(b)
				e := damage(t, err)
				require.Len(t, got, 1)
				require.False(t, e.Torn(), "byte %d bit %d: %v", at, bit, err)
				require.False(t, e.Hole, "byte %d bit %d of %d: %v", at, bit, n, err)
			}
		}
	}
}

func testTails(t *testing.T) {
	clean := write(t, []byte("one"), []byte("two"))
	for _, n := range []int{1, 6, 7, 100, 3 * BlockSize} {
		b := append(bytes.Clone(clean), make([]byte, n)...)
		got, r, err := readAll(b)
		require.Equal(t, io.EOF, err)
		require.Len(t, got, 2)
		require.EqualValues(t, n, r.ZeroTail())

		b = append(bytes.Clone(clean), pattern(n, 0xa5)...)
		got, r, err = readAll(b)
		require.Len(t, got, 2)
		require.True(t, damage(t, err).Torn())
		require.EqualValues(t, len(clean), r.End())
	}
	// Zeros with something valid behind them are no end.
	b := append(bytes.Clone(clean), make([]byte, BlockSize-len(clean))...)
	b = append(b, clean...)
	_, _, err := readAll(b)
	e := damage(t, err)
	require.Equal(t, Zeros, e.Reason)
	require.False(t, e.Torn())
	require.True(t, e.Hole)
	require.EqualValues(t, BlockSize, e.Next)
}

// testLengths sets the length field to everything a header can claim: beyond
// the block, beyond the file.
func testLengths(t *testing.T) {
	clean := write(t, []byte("one"), []byte("two"))
	for _, n := range []uint16{0, 1, 2, 4, 100, BlockSize - HeaderLen, BlockSize, 1<<16 - 1} {
		b := bytes.Clone(clean)
		binary.LittleEndian.PutUint16(b[4:], n)
		got, _, err := readAll(b)
		require.Empty(t, got)
		e := damage(t, err)
		require.EqualValues(t, HeaderLen+3, e.Next, "the second record is found")
	}
}

// testFragments is LevelDB's matrix of fragments in the wrong order.
func testFragments(t *testing.T) {
	chunk := func(typ byte, s string) []byte { return appendChunk(nil, castagnoli(), typ, []byte(s)) }
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	full, first := chunk(typeFull, "full"), chunk(typeFirst, "first")
	middle, last := chunk(typeMiddle, "middle"), chunk(typeLast, "last")
	for _, c := range []struct {
		name   string
		log    []byte
		want   []string
		reason Reason // 0: clean
		torn   bool
	}{
		{"whole", join(first, middle, middle, last, full), []string{"firstmiddlemiddlelast", "full"}, 0, false},
		{"middle alone", join(middle), nil, NoFirst, false},
		{"last alone", join(last), nil, NoFirst, false},
		{"last after full", join(full, last), []string{"full"}, NoFirst, false},
		{"middle and last alone", join(middle, last, full), nil, NoFirst, false},
		{"first then full", join(first, full), nil, NoLast, false},
		{"first then first", join(first, first, last), nil, NoLast, false},
		{"first at the end", join(full, first), []string{"full"}, Cut, true},
		{"middle at the end", join(full, first, middle), []string{"full"}, Cut, true},
		{"empty first, as old writers left it at the end of a block",
			join(chunk(typeFirst, ""), full), []string{"full"}, 0, false},
		{"unknown type", join(full, chunk(9, "x"), full), []string{"full"}, BadType, false},
		{"unknown type last", join(full, chunk(9, "x")), []string{"full"}, BadType, true},
		{"error in the middle of a record", join(first, chunk(9, "x"), last, full), nil, BadType, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, _, err := readAll(c.log)
			var text []string
			for _, r := range got {
				text = append(text, string(r))
			}
			require.Equal(t, c.want, text)
			if c.reason == 0 {
				require.Equal(t, io.EOF, err)
				return
			}
			e := damage(t, err)
			require.Equal(t, c.reason, e.Reason, "%v", err)
			require.Equal(t, c.torn, e.Torn(), "%v", err)
		})
	}
}

// testHole zeroes one sector of a log, as when the disk wrote later sectors
// first: the damage is marked as a hole wherever the sector lies.
func testHole(t *testing.T) {
	var recs [][]byte
	for i := range 400 {
		recs = append(recs, pattern(200+i%50, byte(1+i%255)))
	}
	clean := write(t, recs...)
	for s := 0; s+2*sector < len(clean); s += sector {
		b := bytes.Clone(clean)
		clear(b[s : s+sector])
		_, _, err := readAll(b)
		var e *Error
		require.True(t, errors.As(err, &e))
		require.True(t, e.Hole, "sector at %#x: %v", s, err)
	}
}
