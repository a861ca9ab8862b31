package record_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/alloc/alloctest"
	"github.com/memlab-go/memlab/alloc/record"
)

// TestFailuresLeaveNoTrace: at whichever call the allocator fails, the trace
// has what succeeded, no more.
func TestFailuresLeaveNoTrace(t *testing.T) {
	for n := 1; n <= 6; n++ {
		ref := alloctest.Reference(0)
		var out bytes.Buffer
		r := record.New(alloctest.Failing(ref, n), &out, nil)
		var b []byte
		done := []string{}
		for i, call := range []func() ([]byte, error){
			func() ([]byte, error) { return r.Malloc(10) },
			func() ([]byte, error) { return r.Calloc(2, 10) },
			func() ([]byte, error) { return r.Malloc(30) },
			func() ([]byte, error) { return r.Calloc(4, 10) },
			func() ([]byte, error) { return r.Malloc(50) },
		} {
			got, err := call()
			if err != nil {
				require.ErrorIs(t, err, alloc.ErrNoMemory)
				continue
			}
			b = got
			done = append(done, fmt.Sprintf("a %d %d", len(done), 10*(i+1)))
		}
		require.NotNil(t, b)
		require.NoError(t, r.Close())
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		require.Equal(t, done, lines[4:], "failure at call %d", n)
		require.Equal(t, fmt.Sprint(len(done)), lines[2])
	}
}

// TestUnknownBlocks: what the recorder has not seen allocated is passed on and
// left out; once it moves it is a block like any other.
func TestUnknownBlocks(t *testing.T) {
	ref := alloctest.Reference(0)
	old, err := ref.Malloc(10)
	require.NoError(t, err)
	grown, err := ref.Malloc(20)
	require.NoError(t, err)
	var out bytes.Buffer
	r := record.New(ref, &out, nil)
	r.Free(old)
	grown, err = r.Realloc(grown, 25)
	require.NoError(t, err)
	r.Free(grown)
	require.NoError(t, r.Close())
	require.Equal(t, "25\n1\n2\n1\na 0 25\nf 0\n", out.String())
	require.Zero(t, ref.Stats().LiveBlocks)
}

// TestTraceMeansWhatWasDone: for any operations, the trace run on another
// allocator leaves blocks of the same sizes, and its peak is theirs.
func TestTraceMeansWhatWasDone(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		data := rapid.SliceOfN(rapid.Byte(), 4, 400).Draw(rt, "operations")
		ref := alloctest.Reference(0)
		var out bytes.Buffer
		r := record.New(ref, &out, nil)
		o := alloctest.NewOracle(r)
		for _, op := range alloctest.DecodeOps(data) {
			var broken *alloctest.Violation
			if err := o.Do(op); errors.As(err, &broken) {
				rt.Fatal(err)
			}
		}
		want := o.Requested()
		if err := r.Close(); err != nil {
			rt.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		live, bytes, peak := map[int]int{}, 0, 0
		for _, line := range lines[4:] {
			var kind string
			var id, size int
			fmt.Sscanf(line, "%s %d %d", &kind, &id, &size)
			bytes += size - live[id]
			if live[id] = size; kind == "f" {
				delete(live, id)
			}
			peak = max(peak, bytes)
		}
		if bytes != want || len(live) != o.Live() || lines[0] != fmt.Sprint(peak) {
			rt.Fatalf("%d bytes in %d blocks, peak %d; want %d in %d: %q", bytes, len(live), peak, want, o.Live(), lines)
		}
	})
}
