package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
)

// runTraceCommand runs memlab with the words of a line and returns its exit
// code and output.
func runTraceCommand(line string) (code int, out, errs string) {
	var o, e bytes.Buffer
	code = run(context.Background(), &env{in: strings.NewReader(""), out: &o, err: &e}, strings.Fields(line))
	return code, o.String(), e.String()
}

// TestTraceGolden shows memlab tlb and memlab page as users see them.
func TestTraceGolden(t *testing.T) {
	for _, dir := range []string{"testdata/tlb/golden", "testdata/page/golden"} {
		datadriven.Walk(t, dir, func(t *testing.T, path string) {
			datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
				code, out, errs := runTraceCommand(d.Input)
				if code != exitOK {
					errs += fmt.Sprintf("exit %d\n", code)
				}
				return out + errs
			})
		})
	}
}

// TestPageCasesAgreeWithOSTEP compares with answers of OSTEP's own
// paging-policy.py: hit, victim and pages in memory after each reference.
func TestPageCasesAgreeWithOSTEP(t *testing.T) {
	const name = "testdata/page/ostep.json"
	code, out, errs := runTraceCommand("page -cases " + name + " -json")
	require.Equal(t, exitOK, code, errs)
	raw, err := os.ReadFile(name)
	require.NoError(t, err)
	var got, want []map[string]any
	require.NoError(t, json.Unmarshal([]byte(out), &got))
	require.NoError(t, json.Unmarshal(raw, &want))
	require.Greater(t, len(want), 40)
	for _, w := range want {
		for _, input := range []string{"policy", "frames", "seed", "refs", "clockbits", "random_victim", "random_hand"} {
			delete(w, input)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-paging-policy.py +memlab):\n%s", diff)
	}
}

// TestPageCasesIgnoreAnswers: of a case only the inputs are read.
func TestPageCasesIgnoreAnswers(t *testing.T) {
	name := filepath.Join(t.TempDir(), "cases.json")
	require.NoError(t, os.WriteFile(name, []byte(`[{"policy":"LRU","frames":2,"seed":0,"refs":[1,2,1],"hits":77,"state":[]}]`), 0o644))
	code, out, errs := runTraceCommand("page -cases " + name + " -json")
	require.Equal(t, exitOK, code, errs)
	require.JSONEq(t, `[{"hit":[false,false,true],"victim":[null,null,null],"state":[[1],[1,2],[2,1]],"hits":1,"misses":2}]`, out)
	for _, bad := range []string{`[{"policy":"LRU","frames":0,"refs":[1]}]`, `[{"policy":"X","frames":1,"refs":[1]}]`, `[{"policy":"LRU","frames":1,"refs":[-1]}]`, `{`} {
		require.NoError(t, os.WriteFile(name, []byte(bad), 0o644))
		code, _, errs := runTraceCommand("page -cases " + name + " -json")
		require.Equal(t, exitFound, code)
		require.Contains(t, errs, name)
	}
}

// TestPageHTML checks that the plots are one well-formed document that loads
// nothing and escapes what comes from outside.
func TestPageHTML(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "<b>&.txt")
	require.NoError(t, os.WriteFile(name, []byte(strings.Repeat("1,2,3w,4,1,2,5,1,2,3,4,5\n", 30)), 0o644))
	html := filepath.Join(dir, "report.html")
	code, _, errs := runTraceCommand("page -policy all -frames 3 -html " + html + " " + name)
	require.Equal(t, exitOK, code, errs)
	b, err := os.ReadFile(html)
	require.NoError(t, err)
	text := string(b)
	require.NotContains(t, text, "<b>")
	require.NotRegexp(t, `(src|href)="?http|@import|url\(`, text)
	for _, title := range []string{"Miss ratio by memory size", "Faults over time", "Frames over time", "Which pages are resident", "Regions"} {
		require.Contains(t, text, title)
	}
	d := xml.NewDecoder(strings.NewReader(text))
	d.Strict, d.Entity, d.AutoClose = true, xml.HTMLEntity, []string{"meta"}
	for {
		if _, err := d.Token(); err == io.EOF {
			break
		} else {
			require.NoError(t, err)
		}
	}
}

// TestTraceFromStandardInput reads a trace from standard input.
func TestTraceFromStandardInput(t *testing.T) {
	for _, line := range []string{"page -policy LRU -frames 2 -json -", "tlb -tlb 2 -pagesize 2 -json -"} {
		var o, e bytes.Buffer
		code := run(context.Background(), &env{in: strings.NewReader("0,2,4,2\n"), out: &o, err: &e}, strings.Fields(line))
		require.Equal(t, exitOK, code, e.String())
		require.Contains(t, o.String(), `"misses": 3`)
	}
}

// TestTraceMissingFile: a file that is not there is named; as a TLB's shape it is
// bad usage, as a trace it is something found wrong.
func TestTraceMissingFile(t *testing.T) {
	for line, want := range map[string]int{"page no-such-file": exitFound, "tlb no-such-file": exitFound, "tlb -tlb no-such.json x": exitUsage} {
		code, _, errs := runTraceCommand(line)
		require.Equal(t, want, code, line)
		require.Contains(t, errs, "no-such")
	}
}

// TestTraceProgress draws progress on a terminal and on nothing else, and stops
// when interrupted.
func TestTraceProgress(t *testing.T) {
	for _, line := range []string{"page -policy LRU gen:zipf:n=300000", "tlb gen:zipf:n=300000"} {
		var o, e bytes.Buffer
		ev := &env{out: &o, err: &e, terminal: true}
		require.Equal(t, exitOK, run(context.Background(), ev, strings.Fields(line)))
		require.Contains(t, e.String(), "%")
		ctx, stop := context.WithCancel(context.Background())
		stop()
		require.Equal(t, exitFound, run(ctx, ev, strings.Fields(line)))
		require.Contains(t, e.String(), "interrupted")
	}
}
