package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/memlab-go/memlab/vm"
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
					for _, kind := range wantKinds(name) {
						require.Positive(t, kinds[kind], "%s among %v", kind, kinds)
					}
					require.Empty(t, c.After)
				}
			}
		})
	}
}

// wantKinds are the faults that every odd case of a format has.
func wantKinds(name string) []string {
	kinds := []string{"not present", "protection"}
	if !strings.Contains(name, "32") && name != "x86-pae" {
		kinds = append(kinds, "non-canonical address")
	}
	switch {
	case strings.HasPrefix(name, "sv"):
		kinds = append(kinds, "reserved encoding", "reserved bit set", "misaligned superpage", "not a leaf at the last level")
	case strings.HasPrefix(name, "aarch64"):
		kinds = append(kinds, "reserved encoding")
	case name != "x86-32":
		kinds = append(kinds, "reserved bit set")
	}
	if strings.HasSuffix(name, "npt") {
		kinds = append(kinds, "npf")
	}
	return kinds
}

// The seeds throw the processor's switches both ways.
func TestDumpSwitches(t *testing.T) {
	for name, switches := range map[string]string{
		"x86-32": "wp smep smap pge pse", "x86-64-4level": "nxe wp smep smap pge", "sv39": "svnapot svpbmt",
		"aarch64-4k": "ha hd wxn", "sv48+sv48x4": "svpbmt", "x86-64-4level+npt": "nxe wp smep smap pge",
	} {
		seen := map[string]int{}
		for seed := range uint64(60) {
			c, err := makeCase(name, seed)
			require.NoError(t, err, "%s, seed %d", name, seed)
			for s, on := range c.Ctl {
				seen[fmt.Sprint(s, on)]++
			}
		}
		for s := range strings.FieldsSeq(switches) {
			require.Positive(t, seen[s+"true"], "%s: %s on", name, s)
			require.Positive(t, seen[s+"false"], "%s: %s off", name, s)
		}
	}
}

// A two-stage case has large pages at both stages, and the second stage's entries
// are wrong in every way as well.
func TestDumpNestedStages(t *testing.T) {
	for name, pair := range dumpPairs() {
		c, err := makeCase(name, 5)
		require.NoError(t, err)
		second := map[string]int{}
		for _, q := range c.Queries {
			switch o := q.Expect; {
			case o.Cause != nil && *o.Cause >= 20:
				second[o.Fault]++
			case o.GPA != nil && *o.Code&8 != 0:
				second["reserved bit set"]++
			}
		}
		require.Positive(t, second["reserved bit set"], name)
		if pair[0].Arch != vm.ArchRISCV {
			continue
		}
		for _, kind := range []string{"not present", "protection", "reserved encoding", "misaligned superpage", "not a leaf at the last level"} {
			require.Positive(t, second[kind], "%s: %s", name, kind)
		}
		sizes := map[uint64]int{}
		for _, m := range c.GMappings {
			sizes[m.Size]++
		}
		require.Len(t, sizes, 3, name)
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
