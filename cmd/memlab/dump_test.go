package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every format gives a case of at least 200 queries, the same one each time; an
// even seed lists no faults and what memory is left, an odd one many kinds.
func TestDumpEveryFormat(t *testing.T) {
	for _, name := range strings.Split(dumpNames(), ", ") {
		t.Run(name, func(t *testing.T) {
			for seed := uint64(1); seed <= 4; seed++ {
				c, err := makeCase(name, seed)
				require.NoError(t, err)
				again, err := makeCase(name, seed)
				require.NoError(t, err)
				a, _ := json.Marshal(c)
				b, _ := json.Marshal(again)
				require.True(t, bytes.Equal(a, b), "seed %d is not reproducible", seed)
				require.Equal(t, c.files, again.files)
				require.GreaterOrEqual(t, len(c.Queries), 200)
				kinds := map[string]int{}
				for _, q := range c.Queries {
					for _, o := range append(q.ExpectAny, single(q.Expect)...) {
						kinds[o.Fault]++
					}
				}
				if seed%2 == 0 {
					require.Equal(t, map[string]int{"": kinds[""]}, kinds, "an even seed lists successes only")
					require.NotEmpty(t, c.After)
					require.NotEqual(t, c.files["mem.bin"], nil)
				} else {
					require.Greater(t, len(kinds), 2, "kinds: %v", kinds)
					require.Empty(t, c.After)
				}
			}
		})
	}
}

func single(o *dumpOutcome) []dumpOutcome {
	if o == nil {
		return nil
	}
	return []dumpOutcome{*o}
}

func TestDumpWritesACompleteDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "case")
	var out, errs bytes.Buffer
	e := &env{out: &out, err: &errs}
	require.Equal(t, exitOK, runDump(context.Background(), e, []string{"-format", "sv39", "-seed", "2", "-o", dir}), errs.String())
	b, err := os.ReadFile(filepath.Join(dir, "case.json"))
	require.NoError(t, err)
	var c struct {
		Format, RAM, Root string
		Segments, After   []struct{ PA, File string }
		Queries           []map[string]any
	}
	require.NoError(t, json.Unmarshal(b, &c))
	require.Equal(t, "sv39", c.Format)
	require.True(t, strings.HasPrefix(c.Root, "0x8"))
	for _, s := range append(c.Segments, c.After...) {
		fi, err := os.Stat(filepath.Join(dir, s.File))
		require.NoError(t, err)
		require.NotZero(t, fi.Size())
	}
}

func TestDumpUsage(t *testing.T) {
	for _, args := range [][]string{{}, {"-format", "sv39"}, {"-format", "vax", "-o", t.TempDir()}, {"-format", "sv39", "-o", "x", "extra"}, {"-seed", "-1"}} {
		var errs bytes.Buffer
		require.Equal(t, exitUsage, runDump(context.Background(), &env{out: &errs, err: &errs}, args), "%q", args)
		require.NotEmpty(t, errs.String())
	}
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o644))
	var errs bytes.Buffer
	require.Equal(t, exitFound, runDump(context.Background(), &env{out: &errs, err: &errs}, []string{"-format", "sv39", "-o", filepath.Join(file, "sub")}))
}
