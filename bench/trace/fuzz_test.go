package trace

import (
	"bytes"
	"testing"
)

// smallLimits keep a fuzzer from spending its time in allocation.
var smallLimits = Limits{MaxOps: 1 << 12, MaxIDs: 1 << 12, MaxBytes: 1 << 20}

// FuzzRead feeds bytes to the reader of every allocation-trace form. What it
// accepts must be sound and come back unchanged from both writers.
func FuzzRead(f *testing.F) {
	f.Add([]byte("100\n2\n3\n1\na 0 16\nr 0 32\nf 0\n"))
	f.Add([]byte("1\n2\n2\n4096\nc 0 16 4\nf -1\n"))
	f.Add([]byte("\x1f\x8b\x08\x00"))
	var compact bytes.Buffer
	if err := WriteCompact(&compact, &Trace{IDs: 1, Ops: []Op{{Size: 9}, {Kind: Realloc, Size: 3}, {Kind: Free}}}); err != nil {
		f.Fatal(err)
	}
	f.Add(compact.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		tr, err := Read(bytes.NewReader(data), "fuzz", &smallLimits)
		if err != nil {
			return
		}
		if err := tr.Check(); err != nil {
			t.Fatalf("the reader accepted what Check refuses: %v", err)
		}
		var rep, cpt bytes.Buffer
		if err := WriteRep(&rep, tr); err != nil {
			t.Fatal(err)
		}
		if err := WriteCompact(&cpt, tr); err != nil {
			t.Fatal(err)
		}
		for _, b := range []*bytes.Buffer{&rep, &cpt} {
			back, err := Read(b, "fuzz", &smallLimits)
			if err != nil {
				t.Fatalf("reading back: %v", err)
			}
			if len(back.Ops) != len(tr.Ops) {
				t.Fatalf("%d operations came back as %d", len(tr.Ops), len(back.Ops))
			}
			for i := range tr.Ops {
				if back.Ops[i] != tr.Ops[i] {
					t.Fatalf("operation %d: %+v came back as %+v", i, tr.Ops[i], back.Ops[i])
				}
			}
		}
	})
}

// FuzzCompactBody feeds bytes to the decoder behind the compression.
func FuzzCompactBody(f *testing.F) {
	f.Add([]byte{1, 0, 100, 1, 1, 2, 2, 1, 1, 1, 0, 1, 0, 0, 9})
	f.Fuzz(func(t *testing.T, data []byte) {
		c := columns{bytes: data}
		tr, err := c.trace(smallLimits.withDefaults())
		if err != nil {
			return
		}
		if err := tr.Check(); err != nil {
			t.Fatalf("the decoder accepted what Check refuses: %v", err)
		}
	})
}
