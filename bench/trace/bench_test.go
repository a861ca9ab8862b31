package trace

import (
	"bytes"
	"compress/gzip"
	"io"
	"testing"
)

// BenchmarkRead reads a trace of 100 000 operations in each of its forms; MB/s
// are of the form's own bytes.
func BenchmarkRead(b *testing.B) {
	t, err := Generate("random", 1, 100_000)
	if err != nil {
		b.Fatal(err)
	}
	var rep, zipped, compact bytes.Buffer
	z := gzip.NewWriter(&zipped)
	if err := WriteRep(io.MultiWriter(&rep, z), t); err != nil {
		b.Fatal(err)
	}
	z.Close()
	if err := WriteCompact(&compact, t); err != nil {
		b.Fatal(err)
	}
	for _, f := range []struct {
		name string
		data []byte
	}{{"rep", rep.Bytes()}, {"rep.gz", zipped.Bytes()}, {"compact", compact.Bytes()}} {
		b.Run("form="+f.name, func(b *testing.B) {
			b.SetBytes(int64(len(f.data)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Read(bytes.NewReader(f.data), "t", nil); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(t.Ops))*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mop/s")
		})
	}
}
