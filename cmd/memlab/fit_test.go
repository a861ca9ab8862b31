package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
)

// runFitCommand runs memlab fit and returns its exit code and output.
func runFitCommand(args ...string) (code int, out, errs string) {
	var o, e bytes.Buffer
	code = run(context.Background(), &env{in: strings.NewReader(""), out: &o, err: &e}, append([]string{"fit"}, args...))
	return code, o.String(), e.String()
}

// The walks as a reader sees them.
func TestFitGolden(t *testing.T) {
	datadriven.Walk(t, "testdata/fit/golden", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			_, out, errs := runFitCommand(strings.Fields(d.Input)...)
			return out + errs
		})
	})
}

// Answers of OSTEP's own malloc.py: address, blocks searched and free list
// after each step.
func TestFitCasesAgreeWithOSTEP(t *testing.T) {
	const name = "testdata/fit/ostep.json"
	code, out, errs := runFitCommand("-cases", name, "-json")
	require.Equal(t, exitOK, code, errs)
	var got, want []struct {
		Steps []map[string]any `json:"steps"`
	}
	require.NoError(t, json.Unmarshal([]byte(out), &got))
	raw, err := os.ReadFile(name)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(raw, &want))
	require.Greater(t, len(want), 25)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-malloc.py +memlab):\n%s", diff)
	}
}

// What malloc.py -c printed, without empty lines, for flags that are written
// here as memlab's: operations, answers and free lists are the same.
func TestFitAgreesWithMallocPy(t *testing.T) {
	raw, err := os.ReadFile("testdata/fit/malloc_runs.json")
	require.NoError(t, err)
	var runs []struct {
		Args  []string `json:"args"`
		Lines []string `json:"lines"`
	}
	require.NoError(t, json.Unmarshal(raw, &runs))
	require.Greater(t, len(runs), 20)
	bare := func(lines []string) (bare []string) {
		for _, line := range lines {
			if line != "" && line[0] != '|' { // the pictures are ours
				bare = append(bare, strings.ReplaceAll(line, " ", ""))
			}
		}
		return bare
	}
	for _, run := range runs {
		code, out, errs := runFitCommand(run.Args...)
		require.Equal(t, exitOK, code, "%v: %s", run.Args, errs)
		_, out, _ = strings.Cut(out, "\n") // the title
		if diff := cmp.Diff(bare(run.Lines), bare(strings.Split(out, "\n"))); diff != "" {
			t.Errorf("%v (-malloc.py +memlab):\n%s", run.Args, diff)
		}
	}
}

// Only the inputs of a case are read.
func TestFitCasesIgnoreAnswers(t *testing.T) {
	name := filepath.Join(t.TempDir(), "cases.json")
	const in = `[{"policy":"FIRST","order":"ADDRSORT","coalesce":true,"header":8,"align":-1,"heap":20,"base":1000,
		"steps":[{"op":"alloc","id":5,"size":4,"ret":77,"searched":9,"free":[]},
			{"op":"alloc","id":6,"size":1},{"op":"free","id":6},{"op":"free","id":5},{"op":"free","id":5}]}]`
	require.NoError(t, os.WriteFile(name, []byte(in), 0o644))
	code, out, errs := runFitCommand("-cases", name, "-json")
	require.Equal(t, exitOK, code, errs)
	const want = `[{"steps":[
		{"op":"alloc","id":5,"size":4,"ret":1008,"searched":1,"free":[[1012,8]]},
		{"op":"alloc","id":6,"size":1,"ret":-1,"searched":1,"free":[[1012,8]]},
		{"op":"free","id":6,"ret":-1,"free":[[1012,8]]},
		{"op":"free","id":5,"ret":0,"free":[[1000,20]]},
		{"op":"free","id":5,"ret":-1,"free":[[1000,20]]}]}]`
	require.JSONEq(t, want, out)
}

func TestFitBadInput(t *testing.T) {
	write := func(text string) string {
		name := filepath.Join(t.TempDir(), "cases.json")
		require.NoError(t, os.WriteFile(name, []byte(text), 0o644))
		return name
	}
	maxInt := strconv.Itoa(math.MaxInt)
	const head = `[{"policy":"FIRST","order":"ADDRSORT","heap":100,"base":1000,"steps":[`
	tests := []struct {
		args []string
		code int
		want string
	}{
		{[]string{"-policy", "fast"}, exitUsage, `unknown policy "fast" (known: first, next, best, worst)`},
		{[]string{"-order", "x"}, exitUsage, "unknown order"},
		{[]string{"-coalesce", "x"}, exitUsage, "unknown coalescing"},
		{[]string{"-heap", "x"}, exitUsage, "unknown heap"},
		{[]string{"-ops", "+5,*3"}, exitUsage, `operation 2: "*3"`},
		{[]string{"-ops", "+5,-1"}, exitUsage, "only 1 allocations"},
		{[]string{"-ops", "+99999999999"}, exitUsage, "bad number"},
		{[]string{"-ops", "+1,~0"}, exitUsage, "want ~K:SIZE"},
		{[]string{"-ops", "+1,,+2"}, exitUsage, "empty operation"},
		{[]string{"-ops", "+1,-0,~0:5"}, exitUsage, "block 0 is not live"},
		{[]string{"-size", "16"}, exitUsage, "no room"},
		{[]string{"-size", "0"}, exitUsage, "-size 0: want 1 to 16777216"},
		{[]string{"-align", "24"}, exitUsage, "alignment 24"},
		{[]string{"-align", "-8"}, exitUsage, "-align -8: want 8 bytes or more"},
		{[]string{"-align", "0"}, exitUsage, "-align 0: want 8 bytes or more"},
		{[]string{"-header", "-2"}, exitUsage, "-header -2: want 8 bytes or more"},
		{[]string{"-header", "0"}, exitUsage, "-header 0: want 8 bytes or more"},
		{[]string{"-n", "0"}, exitUsage, "-n 0: want 1 to 1000"},
		{[]string{"-n", "-1"}, exitUsage, "-n -1: want 1 to 1000"},
		{[]string{"-n", "2000000000"}, exitUsage, "-n 2000000000: want 1 to 1000"},
		{[]string{"-base", "2000"}, exitUsage, "-base means nothing without -ostep"},
		{[]string{"-range", "5"}, exitUsage, "-range means nothing without -ostep"},
		{[]string{"-percent", "5"}, exitUsage, "-percent means nothing without -ostep"},
		{[]string{"-ostep", "-range", "5", "-ops", "+1"}, exitUsage, "-range means nothing with -ops"},
		{[]string{"-ostep", "-range", "0"}, exitUsage, "-range 0: want 1 to"},
		{[]string{"-ostep", "-percent", "0"}, exitUsage, "-percent 0: want 1 to 100"},
		{[]string{"-ostep", "-n", "1001"}, exitUsage, "-n 1001: want 1 to 1000"},
		{[]string{"-ostep", "-size", "0"}, exitUsage, "-size 0: want 1 to"},
		{[]string{"-ostep", "-header", "-2"}, exitUsage, "-header -2: want 0 to 100"},
		{[]string{"-ostep", "-header", maxInt}, exitUsage, "-header " + maxInt + ": want 0 to 100"},
		{[]string{"-ostep", "-align", "-8"}, exitUsage, "-align -8: want 1 to 100, the size of the heap, or -1 for none"},
		{[]string{"-ostep", "-align", maxInt}, exitUsage, "-align " + maxInt + ": want 1 to 100"},
		{[]string{"-ostep", "-base", "-1"}, exitUsage, "-base -1: want 0 to"},
		{[]string{"-ostep", "-base", maxInt}, exitUsage, "-base " + maxInt + ": want 0 to"},
		{[]string{"-ostep", "-heap", "buddy"}, exitUsage, "malloc.py has a list"},
		{[]string{"-ostep", "-ops", "+5,~0:6"}, exitUsage, "cannot change"},
		{[]string{"-ostep", "-policy", "next"}, exitUsage, "no policy next"},
		{[]string{"-nosuch"}, exitUsage, "nosuch"},
		{[]string{"operand"}, exitUsage, "unexpected operand"},
		{[]string{"-cases", "x.json"}, exitUsage, "needs -json"},
		{[]string{"-cases", "x.json", "-json", "-html", "x"}, exitUsage, "-html means nothing with -cases"},
		{[]string{"-cases", "x.json", "-json", "-ops", "+1"}, exitUsage, "-ops means nothing with -cases"},
		{[]string{"-html", "-", "-ops", "+1"}, exitUsage, "want the name of a file"},
		{[]string{"-html", "missing/x", "-ops", "+100000"}, exitFound, "-html: "},
		{[]string{"-json", "-cases", "no such file"}, exitFound, "no such file"},
		{[]string{"-json", "-cases", write("{")}, exitFound, "cases.json"},
		{[]string{"-json", "-cases", write("[] []")}, exitFound, "more after the end"},
		{[]string{"-json", "-cases", write(head + `{"op":"alloc"}]}]`)}, exitFound, "case 0: step 0"},
		{[]string{"-json", "-cases", write(head + `{"op":"grow","id":1}]}]`)}, exitFound, "unknown operation"},
		{[]string{"-json", "-cases", write(head + `{"op":"free","id":1}]}]`)}, exitFound, "never allocated"},
		{[]string{"-json", "-cases", write(`[{"policy":"QUICK"}]`)}, exitFound, "unknown policy"},
	}
	for _, tt := range tests {
		code, out, errs := runFitCommand(tt.args...)
		require.Equal(t, tt.code, code, "%v: %s", tt.args, errs)
		require.Contains(t, errs, tt.want, "%v", tt.args)
		require.Empty(t, out, "%v", tt.args)
	}
}

func TestFitHTML(t *testing.T) {
	name := filepath.Join(t.TempDir(), "walk.html")
	code, _, errs := runFitCommand("-html", name, "-ops", "+24,+100,-0")
	require.Equal(t, exitOK, code, errs)
	page, err := os.ReadFile(name)
	require.NoError(t, err)
	for _, remote := range []string{"http:", "https:", "src=", "@import", "url("} {
		require.NotContains(t, string(page), remote)
	}
	require.Contains(t, string(page), "block b, 104 bytes")
}

// A block has the mark in the picture of a step that it has in the text, whoever
// comes to its place later.
func TestFitHTMLMarks(t *testing.T) {
	name := filepath.Join(t.TempDir(), "walk.html")
	for _, mode := range [][]string{{"-size", "1024"}, {"-ostep", "-size", "300"}} {
		args := append(mode, "-policy", "best", "-order", "address", "-ops", "+24,+100,+40,-1,+90", "-html", name)
		code, out, errs := runFitCommand(args...)
		require.Equal(t, exitOK, code, errs)
		page, err := os.ReadFile(name)
		require.NoError(t, err)
		texts, sections := strings.Split(out, "\n\n")[1:], strings.Split(string(page), "<section>")[1:]
		require.Len(t, sections, len(texts))
		for i, text := range texts {
			_, text, _ = strings.Cut(text, "\n|")
			for _, mark := range "abcd" {
				require.Equal(t, strings.Contains(text, string(mark)+"|"), strings.Contains(sections[i], fmt.Sprintf("block %c, ", mark)),
					"step %d, block %c", i, mark)
			}
		}
	}
}

// Nothing depends on the order of a map.
func TestFitIsTheSameEachTime(t *testing.T) {
	name := filepath.Join(t.TempDir(), "walk.html")
	var first string
	for i := range 20 {
		code, out, errs := runFitCommand("-ostep", "-html", name, "-ops", "+0,+0,+10,+0,+0,+5,-1,-0,+0,-3,+2,+2,+2")
		require.Equal(t, exitOK, code, errs)
		page, err := os.ReadFile(name)
		require.NoError(t, err)
		if out += string(page); i == 0 {
			first = out
		}
		require.Equal(t, first, out)
	}
	require.NotContains(t, first, ", 0 bytes")
	require.NotContains(t, first, "#|", "each block has a number")
}

func TestFitStopsWhenAsked(t *testing.T) {
	ctx, stop := context.WithCancel(context.Background())
	stop()
	for _, args := range [][]string{{"-ops", "+1,+2"}, {"-ostep"}, {"-json", "-cases", "testdata/fit/ostep.json"}} {
		var o, e bytes.Buffer
		code := run(ctx, &env{in: strings.NewReader(""), out: &o, err: &e}, append([]string{"fit"}, args...))
		require.Equal(t, exitFound, code, "%v", args)
		require.Equal(t, "memlab fit: interrupted\n", e.String())
		require.Empty(t, o.String())
	}
}

// The defaults in the help are those that hold.
func TestFitHelp(t *testing.T) {
	code, help, _ := runFitCommand("-h")
	require.Equal(t, exitOK, code)
	require.NotContains(t, help, "(default -1)")
	require.Contains(t, help, "Example:\n  memlab fit ")
	_, real, _ := runFitCommand("-ops", "+30,+9,-0,+8")
	_, given, _ := runFitCommand("-policy", "first", "-order", "front", "-coalesce", "immediate", "-header", "8", "-align", "16",
		"-size", "1024", "-ops", "+30,+9,-0,+8")
	require.Equal(t, given, real)
	_, ostep, _ := runFitCommand("-ostep", "-answers")
	_, given, _ = runFitCommand("-ostep", "-answers", "-policy", "BEST", "-order", "ADDRSORT", "-coalesce", "never", "-header", "0",
		"-align", "-1", "-size", "100", "-base", "1000", "-range", "10", "-percent", "50", "-n", "10", "-seed", "0")
	require.Equal(t, given, ostep)
}

func FuzzFitOps(f *testing.F) {
	f.Add("+24,+100,-0,~1:50")
	f.Fuzz(func(t *testing.T, s string) {
		ops, err := parseFitOps(s, true)
		if err != nil || len(ops) > 50 {
			return
		}
		for _, args := range [][]string{{"-ops", s}, {"-ostep", "-ops", s}} {
			if code, _, errs := runFitCommand(args...); code == exitFound {
				t.Fatal(errs)
			}
		}
	})
}

func FuzzFitCases(f *testing.F) {
	raw, err := os.ReadFile("testdata/fit/ostep.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw[:2000])
	f.Add([]byte(`[{"policy":"BEST","order":"SIZESORT+","heap":9,"header":-1,"steps":[{"op":"alloc","id":1,"size":3}]}]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		solveFitCases(t.Context(), bytes.NewReader(data))
	})
}
