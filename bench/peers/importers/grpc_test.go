package importers

import (
	"bytes"
	"io"
	"testing"

	"google.golang.org/grpc/mem"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/alloc/segregated"
)

var _ mem.BufferPool = (*alloc.GRPCBufferPool)(nil)

// Buffers of gRPC, read, split, copied and joined, are all put back.
func TestGRPC(t *testing.T) {
	h, err := segregated.New(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	pool := alloc.GRPCBuffers(h)
	data := bytes.Repeat([]byte("off the heap "), 20000)
	all, err := mem.ReadAll(bytes.NewReader(data), pool)
	if err != nil {
		t.Fatal(err)
	}
	var copied mem.BufferSlice
	w := mem.NewWriter(&copied, pool)
	r := all.Reader()
	if _, err := io.Copy(w, r); err != nil {
		t.Fatal(err)
	}
	r.Close()
	joined := copied.MaterializeToBuffer(pool)
	if !bytes.Equal(joined.ReadOnlyData(), data) {
		t.Error("the copy differs")
	}
	joined.Free()
	all.Free()
	copied.Free()
	if s := pool.Stats(); s.Out != 0 || s.Gets == 0 || s.Fallbacks != 0 || s.Ignored != 0 {
		t.Errorf("%+v", s)
	}
	if err := pool.Close(); err != nil {
		t.Error(err)
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
}
