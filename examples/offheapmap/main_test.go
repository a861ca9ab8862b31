package main

import (
	"bytes"
	"io"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/memlab-go/memlab/alloc/segregated"
	"github.com/memlab-go/memlab/arena"
)

// TestOutput holds what the program prints apart from the times.
func TestOutput(t *testing.T) {
	datadriven.RunTest(t, "testdata/output", func(t *testing.T, d *datadriven.TestData) string {
		var n int
		var seed uint64
		d.ScanArgs(t, "n", &n)
		d.ScanArgs(t, "seed", &seed)
		var out, times bytes.Buffer
		require.NoError(t, run(&out, &times, n, seed))
		require.Contains(t, times.String(), "longest pause")
		return out.String()
	})
}

func TestBadCount(t *testing.T) {
	require.ErrorContains(t, run(io.Discard, io.Discard, 0, 1), "-n 0")
}

// TestTableModel compares the table with a Go map.
func TestTableModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r, err := arena.Reserve(1<<26, nil)
		require.NoError(t, err)
		h, err := segregated.New(r, nil)
		require.NoError(t, err)
		table, err := NewTable(h, r)
		require.NoError(t, err)
		model := map[string]visit{}
		keys := rapid.SliceOfN(rapid.Byte(), 0, 3) // few keys, so that they meet
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) { require.Equal(t, len(model), table.Len()) },
			"put": func(t *rapid.T) {
				key, v := keys.Draw(t, "key"), visit{rapid.Uint32().Draw(t, "v"), 1}
				p, err := table.Put(key)
				require.NoError(t, err)
				require.Equal(t, model[string(key)], *p)
				*p, model[string(key)] = v, v
			},
			"get": func(t *rapid.T) {
				key := keys.Draw(t, "key")
				want, ok := model[string(key)]
				got := table.Get(key)
				require.Equal(t, ok, got != nil)
				if ok {
					require.Equal(t, want, *got)
				}
			},
			"delete": func(t *rapid.T) {
				key := keys.Draw(t, "key")
				_, ok := model[string(key)]
				require.Equal(t, ok, table.Delete(key))
				delete(model, string(key))
			},
		})
		for key, want := range model {
			require.Equal(t, want, *table.Get([]byte(key)))
		}
		table.Close()
		require.NoError(t, h.Close(), "every key was freed")
		require.NoError(t, r.Close())
	})
}
