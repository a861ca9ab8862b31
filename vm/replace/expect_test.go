package replace

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/bench/trace"
)

// loadTrace reads a trace of testdata as numbered references to 4 KiB pages.
func loadTrace(t testing.TB, name string) ([]Ref, *Pages) {
	t.Helper()
	f, err := trace.OpenRefs("testdata/"+name, nil)
	require.NoError(t, err)
	defer f.Close()
	var refs []Ref
	pages := &Pages{}
	var accs []Access
	require.NoError(t, trace.EachBatch(f, func(batch []trace.Ref) error {
		accs = accs[:0]
		for _, r := range batch {
			accs = append(accs, MakeAccess(r.Addr>>12, r.Kind.Writes()))
		}
		old := len(refs)
		growTo(&refs, old+len(accs))
		pages.Refs(accs, refs[old:])
		return nil
	}))
	return refs, pages
}

// TestExpected compares a real program's trace with figures that independent
// programs computed.
func TestExpected(t *testing.T) {
	var want struct {
		Refs, Pages int64
		Faults      []struct {
			Policy     string
			Frames     int
			Misses     int64
			Writebacks *int64
		}
	}
	b, err := os.ReadFile("testdata/perl-pages.expect.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &want))
	refs, pages := loadTrace(t, "perl-pages.vmt.gz")
	require.EqualValues(t, want.Refs, len(refs))
	require.EqualValues(t, want.Pages, pages.Len())
	fut, err := NewFuture(refs)
	require.NoError(t, err)
	for _, w := range want.Faults {
		p, err := New(w.Policy, Config{Frames: w.Frames, Future: fut})
		require.NoError(t, err)
		s := NewSim(p, w.Frames)
		require.NoError(t, s.Run(refs))
		require.Equal(t, w.Misses, s.Counts().Misses, "%s %d", w.Policy, w.Frames)
		if w.Writebacks != nil {
			require.Equal(t, *w.Writebacks, s.Counts().Writebacks, "%s %d", w.Policy, w.Frames)
		}
	}
}
