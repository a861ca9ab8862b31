package corpus

import (
	"io/fs"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEveryTraceIsSound(t *testing.T) {
	want := map[string]struct {
		ops  int
		peak int64
	}{
		"git-log": {46022, 2989487}, "sqlite-sql": {917963, 8218732}, "cc1plus-stl": {938635, 5328192},
		"python-json": {1000000, 9903682}, "xmllint-xpath": {167723, 6302764},
		"convert-resize": {9948, 141121734}, "python-store": {3000000, 31653289},
	}
	require.Len(t, Names(), len(want))
	for _, name := range Names() {
		tr, err := Open(name)
		require.NoError(t, err)
		require.NoError(t, tr.Check())
		require.Equal(t, name, tr.Name)
		require.Len(t, tr.Ops, want[name].ops, name)
		require.Equal(t, want[name].peak, tr.PeakLive(), name)
		require.Equal(t, tr.Suggested, tr.PeakLive(), name)
	}
}

func TestUnknownNameListsTheKnown(t *testing.T) {
	_, err := Open("emacs")
	require.EqualError(t, err, `no embedded trace "emacs"; there are git-log, sqlite-sql, cc1plus-stl, python-json, xmllint-xpath, convert-resize, python-store`)
}

func TestCutRecordingsAreMarked(t *testing.T) {
	tr, err := Open("python-json")
	require.NoError(t, err)
	require.Equal(t, "python-json (first 1000000 ops)", tr.Label())
}

func TestEmbeddedSize(t *testing.T) {
	files, err := fs.ReadDir(data, "data")
	require.NoError(t, err)
	total := int64(0)
	for _, f := range files {
		info, err := f.Info()
		require.NoError(t, err)
		total += info.Size()
	}
	require.Less(t, total, int64(6<<20))
}
