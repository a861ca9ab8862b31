package record

import (
	"bytes"
	"fmt"
	"io"
	"testing"
)

func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{20, 140, 4 << 10, 100 << 10} {
		b.Run(fmt.Sprintf("size=%d", size), func(b *testing.B) {
			w := NewWriter(io.Discard, make([]byte, 0, 1<<20), 0)
			rec := pattern(size, 'x')
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if err := w.Append(rec); err != nil {
					b.Fatal(err)
				}
				if err := w.Flush(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkNext(b *testing.B) {
	for _, size := range []int{20, 140, 4 << 10, 100 << 10} {
		b.Run(fmt.Sprintf("size=%d", size), func(b *testing.B) {
			var recs [][]byte
			for range 4<<20/size + 1 {
				recs = append(recs, pattern(size, 'x'))
			}
			log := write(b, recs...)
			r := NewReader(bytes.NewReader(log), int64(len(log)))
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.Next(); err == io.EOF {
					r = NewReader(bytes.NewReader(log), int64(len(log)))
				} else if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
