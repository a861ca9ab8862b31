package record

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/bench/trace"
)

// notes returns what record.c writes for these records: op, size, block, old.
func notes(records ...[4]uint64) []byte {
	out := pack([4]uint64{magic, 4711})
	for _, r := range records {
		out = append(out, pack(r)...)
	}
	return out
}

func pack(r [4]uint64) (out []byte) {
	for _, v := range r {
		out = binary.NativeEndian.AppendUint64(out, v)
	}
	return out
}

func TestConvert(t *testing.T) {
	a := func(id int32, size int64) trace.Op { return trace.Op{Kind: trace.Malloc, ID: id, Size: size} }
	r := func(id int32, size int64) trace.Op { return trace.Op{Kind: trace.Realloc, ID: id, Size: size} }
	f := func(id int32) trace.Op { return trace.Op{Kind: trace.Free, ID: id} }
	for _, c := range []struct {
		name string
		in   [][4]uint64
		ids  int
		ops  []trace.Op
		lost Lost
	}{
		{"nothing", nil, 0, nil, Lost{}},
		{"an address is used again", [][4]uint64{{opMalloc, 10, 100}, {opFree, 0, 100}, {opMalloc, 20, 100}}, 2, []trace.Op{a(0, 10), f(0), a(1, 20)}, Lost{}},
		{"no bytes", [][4]uint64{{opMalloc, 0, 100}, {opRealloc, 0, 100, 100}}, 1, []trace.Op{a(0, 1), r(0, 1)}, Lost{}},
		{"realloc in place and elsewhere", [][4]uint64{{opMalloc, 10, 100}, {opRealloc, 20, 100, 100}, {opRealloc, 30, 200, 100}, {opFree, 0, 200}}, 1, []trace.Op{a(0, 10), r(0, 20), r(0, 30), f(0)}, Lost{}},
		{"realloc of a block nobody has seen", [][4]uint64{{opRealloc, 20, 100, 50}}, 1, []trace.Op{a(0, 20)}, Lost{}},
		{"a free of one", [][4]uint64{{opFree, 0, 100}, {opMalloc, 1, 100}}, 1, []trace.Op{a(0, 1)}, Lost{Frees: 1}},
		{"a free that was not seen", [][4]uint64{{opMalloc, 1, 100}, {opMalloc, 2, 100}}, 2, []trace.Op{a(0, 1), f(0), a(1, 2)}, Lost{Mallocs: 1}},
		{"and one before a realloc", [][4]uint64{{opMalloc, 1, 100}, {opMalloc, 2, 200}, {opRealloc, 3, 100, 200}}, 2, []trace.Op{a(0, 1), a(1, 2), f(0), r(1, 3)}, Lost{Mallocs: 1}},
		{"the end", [][4]uint64{{opMalloc, 1, 100}, {opEnd}, {99}}, 1, []trace.Op{a(0, 1)}, Lost{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, lost, err := Convert(iotest.OneByteReader(bytes.NewReader(notes(c.in...))))
			require.NoError(t, err)
			require.Equal(t, c.ids, got.IDs)
			require.Equal(t, c.ops, got.Ops)
			require.Equal(t, c.lost, lost)
			require.NoError(t, got.Check())
		})
	}
}

func TestConvertRefuses(t *testing.T) {
	for want, in := range map[string][]byte{
		"offset 0: the file has no first record":            notes()[:31],
		"offset 0: 0x1 is not the start of a recording":     pack([4]uint64{1}),
		"offset 64: unknown operation 4":                    notes([4]uint64{opMalloc, 1, 16}, [4]uint64{4}),
		"offset 32: a block of 9223372036854775808 bytes":   notes([4]uint64{opMalloc, math.MaxInt64 + 1, 16}),
		"offset 32: unknown operation 18446744073709551615": notes([4]uint64{math.MaxUint64}),
	} {
		_, _, err := Convert(bytes.NewReader(in))
		require.ErrorContains(t, err, want)
	}
	broken := errors.New("broken")
	_, _, err := Convert(iotest.ErrReader(broken))
	require.ErrorIs(t, err, broken)
}

// TestConvertCut: what a process was writing when it ended is left out.
func TestConvertCut(t *testing.T) {
	in := notes([4]uint64{opMalloc, 1, 16}, [4]uint64{opMalloc, 2, 32})
	got, _, err := Convert(bytes.NewReader(in[:len(in)-1]))
	require.NoError(t, err)
	require.Len(t, got.Ops, 1)
}

// FuzzConvert: whatever the bytes, there is an error or a sound trace, which reads back as written.
func FuzzConvert(f *testing.F) {
	f.Add(notes([4]uint64{opMalloc, 10, 100}, [4]uint64{opRealloc, 20, 200, 100}, [4]uint64{opFree, 0, 200}))
	f.Add(notes([4]uint64{opMalloc, 10, 100}, [4]uint64{opMalloc, 0, 100}, [4]uint64{opRealloc, 1, 1, 1}))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, _, err := Convert(bytes.NewReader(b))
		if err != nil {
			return
		}
		if err := got.Check(); err != nil {
			t.Fatal(err)
		}
		var text bytes.Buffer
		if err := trace.WriteRep(&text, got); err != nil {
			t.Fatal(err)
		}
		again, err := trace.Read(&text, "fuzz.rep", nil)
		if err != nil {
			t.Fatal(err)
		}
		if again.IDs != got.IDs || !slices.Equal(again.Ops, got.Ops) {
			t.Fatalf("%v was read back as %v", got.Ops, again.Ops)
		}
	})
}
