package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
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
		{[]string{"-align", "24"}, exitUsage, "alignment 24"},
		{[]string{"-ostep", "-policy", "next"}, exitUsage, "no policy next"},
		{[]string{"-nosuch"}, exitUsage, "nosuch"},
		{[]string{"operand"}, exitUsage, "unexpected operand"},
		{[]string{"-cases", "x.json"}, exitUsage, "needs -json"},
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

func FuzzFitOps(f *testing.F) {
	f.Add("+24,+100,-0,~1:50")
	f.Fuzz(func(t *testing.T, s string) {
		ops, err := parseFitOps(s)
		if err != nil || len(ops) > 50 {
			return
		}
		code, _, errs := runFitCommand("-ops", s)
		if code == exitFound {
			t.Fatal(errs)
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
		solveFitCases(bytes.NewReader(data))
	})
}
