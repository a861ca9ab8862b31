package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
)

func translateCommand(args ...string) (code int, out, errs string) {
	var o, e bytes.Buffer
	code = runTranslate(context.Background(), &env{out: &o, err: &e}, args)
	return code, o.String(), e.String()
}

// The file holds cases with the answers of OSTEP's own programs; only the inputs
// are read.
func TestTranslateCases(t *testing.T) {
	name := filepath.Join("testdata", "translate_cases.json")
	raw, err := os.ReadFile(name)
	require.NoError(t, err)
	var want, got []struct {
		Queries []map[string]any `json:"queries"`
	}
	require.NoError(t, json.Unmarshal(raw, &want))
	code, out, errs := translateCommand("-cases", name, "-json")
	require.Equal(t, exitOK, code, errs)
	require.NoError(t, json.Unmarshal([]byte(out), &got))
	if d := cmp.Diff(want, got); d != "" {
		t.Fatal(d)
	}
}

func TestTranslateBadCases(t *testing.T) {
	for text, why := range map[string]string{
		`{`:    "want an array",
		`[{}]`: "case 0",
		`[{"pdbr":9,"page_size":32,"memory":[]}]`:                                                "pdbr 9",
		`[{"pdbr":0,"page_size":33,"memory":["00"]}]`:                                            "power of two",
		`[{"pdbr":0,"page_size":2,"memory":["0"]}]`:                                              "memory page 0",
		`[{"table":[1],"page":"x"}]`:                                                             "not a size",
		`[{"asize":0,"segments":[{"base":1,"limit":1,"grows":"positive"}]}]`:                     "asize",
		`[{"asize":64,"segments":[{"base":1,"limit":1,"grows":"sideways"}]}]`:                    "sideways",
		`[{"base":1,"limit":2,"queries":[{"va":1}]},{"base":1,"limit":2,"queries":[{"va":-1}]}]`: "case 1: query 0",
	} {
		name := filepath.Join(t.TempDir(), "cases.json")
		require.NoError(t, os.WriteFile(name, []byte(text), 0o644))
		code, _, errs := translateCommand("-json", "-cases", name)
		require.Equal(t, exitFound, code, text)
		require.Contains(t, errs, why)
		require.Contains(t, errs, "cases.json")
	}
}

func TestTranslateUsage(t *testing.T) {
	for _, args := range [][]string{
		{"-format", "vax"}, {"extra"}, {"-cases", "x.json"}, {"-n", "0"}, {"-va", "zz"}, {"-va", "1", "-access", "q"}, {"-va", "1", "-access", "wx"}, {"-bad"},
	} {
		code, _, errs := translateCommand(args...)
		require.Equal(t, exitUsage, code, "%q", args)
		require.NotEmpty(t, errs)
	}
	code, _, _ := translateCommand("-json", "-cases", "no such file")
	require.Equal(t, exitFound, code)
}

// A worksheet asks; with -answers it shows the walks, and every answer is also in
// the JSON. Without, nothing gives one away.
func TestTranslateSheet(t *testing.T) {
	for _, name := range append(strings.Split(dumpNames(), ", "), "tiny") {
		t.Run(name, func(t *testing.T) {
			code, plain, errs := translateCommand("-format", name, "-seed", "5")
			require.Equal(t, exitOK, code, errs)
			require.NotContains(t, plain, "physical address 0x")
			_, full, _ := translateCommand("-format", name, "-seed", "5", "-answers")
			_, js, _ := translateCommand("-format", name, "-seed", "5", "-answers", "-json")
			var page struct {
				Schema    string
				Questions []struct {
					VA, Access string
					Answer     dumpAnswer
				}
			}
			require.NoError(t, json.Unmarshal([]byte(js), &page))
			require.Equal(t, "memlab/translate/v1", page.Schema)
			require.Len(t, page.Questions, 6)
			for _, q := range page.Questions {
				require.Contains(t, plain, q.VA)
				if q.Answer.PA != "" {
					require.Contains(t, full, "physical address "+q.Answer.PA)
				} else {
					require.Contains(t, full, "fault: ")
				}
			}
		})
	}
}

type dumpAnswer struct{ PA, Fault string }

func TestTranslateTinyGolden(t *testing.T) {
	code, out, errs := translateCommand("-seed", "3", "-n", "3", "-answers")
	require.Equal(t, exitOK, code, errs)
	name := filepath.Join("testdata", "translate_tiny.txt")
	want, err := os.ReadFile(name)
	require.NoError(t, err)
	if d := cmp.Diff(string(want), out); d != "" {
		t.Fatal(d)
	}
}

// The page holds every step, loads nothing, and needs no network.
func TestTranslateHTML(t *testing.T) {
	name := filepath.Join(t.TempDir(), "walk.html")
	code, _, errs := translateCommand("-format", "sv39", "-seed", "3", "-html", name)
	require.Equal(t, exitOK, code, errs)
	b, err := os.ReadFile(name)
	require.NoError(t, err)
	page := string(b)
	require.Equal(t, 6, strings.Count(page, `<section class="walk">`))
	require.Contains(t, page, "ArrowRight")
	for _, bad := range []string{"http:", "https:", "src=", "@import", "url(", "<link"} {
		require.NotContains(t, page, bad)
	}
}
