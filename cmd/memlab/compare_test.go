package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/memlab-go/memlab/bench/replay"
	"github.com/stretchr/testify/require"
)

// memlab runs a command line and returns its exit code and what it wrote.
func memlab(args ...string) (code int, out, errs string) {
	var o, e bytes.Buffer
	code = run(context.Background(), &env{in: strings.NewReader(""), out: &o, err: &e}, args)
	return code, o.String(), e.String()
}

// writeTrace writes a .rep file into a directory of the test's.
func writeTrace(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	return path
}

const soundTrace = "1000\n4\n8\n1\na 0 5000\na 1 300\nr 0 9000\nc 2 10 100\nf 1\na 3 0\nf 3\nf -1\n"

// TestBadInput keeps every message and exit code for bad input in a golden
// file.
func TestBadInput(t *testing.T) {
	golden, err := filepath.Abs(filepath.Join("testdata", "badinput"))
	require.NoError(t, err)
	t.Chdir(t.TempDir())
	datadriven.RunTest(t, golden, func(t *testing.T, d *datadriven.TestData) string {
		switch d.Cmd {
		case "file":
			var name string
			d.ScanArgs(t, "name", &name)
			require.NoError(t, os.WriteFile(name, []byte(d.Input+"\n"), 0o644))
			return ""
		case "memlab":
			code, out, errs := memlab(strings.Fields(d.Input)...)
			return strings.TrimSpace(errs) + "\n" + firstLine(out) + "exit " + string(rune('0'+code)) + "\n"
		}
		return "unknown command " + d.Cmd
	})
	_, err = os.Stat("memlab-report.html")
	require.ErrorIs(t, err, os.ErrNotExist, "a report was written though nothing was compared")
}

func firstLine(s string) string {
	if s == "" {
		return ""
	}
	return strings.SplitN(s, "\n", 2)[0] + " …\n"
}

func TestReplayJSON(t *testing.T) {
	path := writeTrace(t, "tiny.rep", soundTrace)
	code, out, errs := memlab("replay", "-alloc", "segregated", "-json", path)
	require.Equal(t, exitOK, code, errs)
	var r map[string]any
	require.NoError(t, json.Unmarshal([]byte(out), &r))
	require.Equal(t, "memlab/replay/v1", r["schema"])
	require.Equal(t, "segregated", r["alloc"])
	require.Equal(t, "tiny", r["trace"])
	require.EqualValues(t, 8, r["ops"])
	require.EqualValues(t, 10300, r["peak_live_bytes"])
	require.Equal(t, true, r["valid"])
	for _, field := range []string{"peak_committed_bytes", "peak_resident_bytes", "utilisation", "mean_utilisation", "ns_per_op"} {
		require.Positive(t, r[field], field)
	}
	require.NotContains(t, r, "points")
}

func TestReplayModes(t *testing.T) {
	path := writeTrace(t, "tiny.rep", soundTrace)
	_, out, _ := memlab("replay", "-alloc", "go", "-mode", "throughput", "-json", "-reps", "2", path)
	require.Contains(t, out, `"ns_per_op"`)
	require.NotContains(t, out, `"utilisation"`)
	_, out, _ = memlab("replay", "-alloc", "go", "-mode", "utilisation", "-json", path)
	require.NotContains(t, out, `"ns_per_op"`)
	_, out, _ = memlab("replay", "-alloc", "go", "-mode", "throughput", "-bench", "-reps", "2", path)
	require.Regexp(t, `(?m)^Unit util% better=higher assume=exact$`, out)
	require.Regexp(t, `(?m)^BenchmarkReplay/alloc=go/trace=tiny/heap=warm 8 [\d.]+ ns/op$`, out)
}

func TestReplayLimit(t *testing.T) {
	path := writeTrace(t, "big.rep", "1000\n2\n2\n1\na 0 5000\na 1 100000000\n")
	for _, name := range []string{"segregated", "fit-first", "tlsf", "buddy"} {
		code, out, errs := memlab("replay", "-alloc", name, "-limit", "4194304", path)
		require.Equal(t, exitFound, code, name)
		require.Regexp(t, `big: operation 2: alloc: malloc 100000000 bytes: out of memory \(limit \d+, largest free block \d+\)`, errs)
		require.Contains(t, out, "valid         NO", name)
	}
}

func TestCompare(t *testing.T) {
	a, b := writeTrace(t, "one.rep", soundTrace), writeTrace(t, "two.rep", soundTrace)
	html := filepath.Join(t.TempDir(), "r.html")
	code, out, errs := memlab("compare", "-alloc", "segregated,fit-best,go", "-reps", "1", "-html", html, a, b)
	require.Equal(t, exitOK, code, errs)
	require.Empty(t, errs, "progress is for terminals")
	for _, want := range []string{"one: 8 ops", "two: 8 ops", "Geometric means", "segregated", "fit-best", "go ", "2 of 2"} {
		require.Contains(t, out, want)
	}
	report, err := os.ReadFile(html)
	require.NoError(t, err)
	checkReport(t, string(report))
}

// checkReport proves that a report is well-formed, loads nothing and has a
// table behind every chart.
func checkReport(t *testing.T, html string) {
	t.Helper()
	n := map[string]int{}
	for d := xml.NewDecoder(strings.NewReader(strings.TrimPrefix(html, "<!DOCTYPE html>"))); ; {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		if e, ok := tok.(xml.StartElement); ok {
			n[e.Name.Local]++
			for _, a := range e.Attr {
				require.NotRegexp(t, `(?i)^(src|href|srcset|poster|action|background|on.*)$`, a.Name.Local)
				if a.Name.Local != "xmlns" && a.Name.Space != "xmlns" {
					require.NotRegexp(t, `(?i)(https?:|//|javascript:|url\()`, a.Value)
				}
			}
		}
	}
	for _, e := range []string{"script", "link", "img", "image", "iframe", "object", "use"} {
		require.Zero(t, n[e], e)
	}
	require.NotRegexp(t, regexp.MustCompile(`@import|url\(`), html)
	require.Greater(t, n["figure"], 5)
	require.Equal(t, n["figure"], n["details"], "a table behind each chart")
}

func TestCompareJSON(t *testing.T) {
	path := writeTrace(t, "one.rep", soundTrace)
	code, out, errs := memlab("compare", "-alloc", "segregated,go", "-reps", "1", "-html", "", "-json", path)
	require.Equal(t, exitOK, code, errs)
	var c compareJSON
	require.NoError(t, json.Unmarshal([]byte(out), &c))
	require.Equal(t, "memlab/compare/v1", c.Schema)
	require.Len(t, c.Results, 2)
	require.Len(t, c.Summary, 2)
	for _, r := range c.Results {
		require.True(t, r.Valid)
		require.NotNil(t, r.Utilisation)
		require.NotNil(t, r.NsPerOp)
		require.Nil(t, r.Points)
	}
}

func TestCompareReportsALimitAndKeepsTheRest(t *testing.T) {
	path := writeTrace(t, "big.rep", "1000\n2\n2\n1\na 0 5000\na 1 100000000\n")
	html := filepath.Join(t.TempDir(), "r.html")
	code, out, errs := memlab("compare", "-alloc", "segregated,go", "-limit", "4194304", "-reps", "1", "-html", html, path)
	require.Equal(t, exitFound, code)
	require.Regexp(t, `segregated: big: operation 2: alloc: malloc 100000000 bytes: out of memory`, errs)
	require.Regexp(t, `(?m)^go .* yes$`, out)
	require.FileExists(t, html)
}

func TestCompareLeavesTheOldReportOnBadInput(t *testing.T) {
	bad := writeTrace(t, "bad.rep", "1000\n1\n1\n1\na 0 0xZZ\n")
	html := filepath.Join(t.TempDir(), "r.html")
	require.NoError(t, os.WriteFile(html, []byte("old"), 0o644))
	code, _, errs := memlab("compare", "-html", html, bad)
	require.Equal(t, exitFound, code)
	require.Contains(t, errs, `bad.rep: line 5: col 5: bad size "0xZZ"`)
	got, err := os.ReadFile(html)
	require.NoError(t, err)
	require.Equal(t, "old", string(got))
}

func TestCompareFlagsBehindTraces(t *testing.T) {
	code, _, errs := memlab("compare", "-html", "", writeTrace(t, "one.rep", soundTrace), "-ops", "10")
	require.Equal(t, exitFound, code)
	require.Equal(t, "memlab compare: -ops: no such file; flags stand before the traces\n", errs)
}

// TestCompareChecksTheReportFirst: a place where no report can be is noticed before
// anything is measured.
func TestCompareChecksTheReportFirst(t *testing.T) {
	path := writeTrace(t, "tiny.rep", soundTrace)
	dir := t.TempDir()
	for html, want := range map[string]string{
		filepath.Join(dir, "missing", "r.html"): "no such file or directory",
		dir:                                     dir + ": is a directory",
	} {
		code, out, errs := memlab("compare", "-reps", "1", "-alloc", "fit-first", "-html", html, path)
		require.Equal(t, exitFound, code)
		require.Contains(t, errs, "memlab compare: -html: ")
		require.Contains(t, errs, want)
		require.Empty(t, out)
	}
}

// TestCompareKeepsTheFiguresWithoutAReport: what was measured is shown although the
// report cannot be written in the end.
func TestCompareKeepsTheFiguresWithoutAReport(t *testing.T) {
	html := filepath.Join(t.TempDir(), "missing", "r.html")
	c := comparison{flags: compareFlags{alloc: "fit-first", html: html, reps: 1}}
	var err error
	c.entries, err = replay.Find(replay.Known(), "fit-first")
	require.NoError(t, err)
	require.NoError(t, c.open([]string{writeTrace(t, "tiny.rep", soundTrace)}))
	var out bytes.Buffer
	e := &env{out: &out, err: io.Discard}
	require.NoError(t, c.measure(context.Background(), e))
	require.ErrorContains(t, c.report(context.Background(), e), "report: ")
	require.Contains(t, out.String(), "Geometric means")
	require.NotContains(t, out.String(), "The report")
}

// TestReportWithoutMeasurements: what was not measured has no number in the report,
// as it has none in the table.
func TestReportWithoutMeasurements(t *testing.T) {
	html := filepath.Join(t.TempDir(), "r.html")
	tr := writeTrace(t, "one.rep", "1000\n1\n600\n1\n"+strings.Repeat("a 0 5000\nf 0\n", 300))
	code, out, errs := memlab("compare", "-vm", "-alloc", "tlsf", "-reps", "1", "-patience", "1ns", "-html", html, tr)
	require.Equal(t, exitOK, code, errs)
	require.Contains(t, out, "too slow")
	report, err := os.ReadFile(html)
	require.NoError(t, err)
	for _, title := range []string{"Peak utilisation on each trace", "TLB misses on each trace", "Page faults on each trace", "Swap traffic on each trace"} {
		_, figure, ok := strings.Cut(string(report), "<h3>"+title+"</h3>")
		require.True(t, ok, title)
		figure, _, _ = strings.Cut(figure, "</figure>")
		require.Contains(t, figure, "<td>–</td>", title)
		require.NotContains(t, figure, "<td>0</td>", title)
	}
}

func TestCompareEscapesTraceNames(t *testing.T) {
	path := writeTrace(t, `<script>alert('x')<`+`img>&.rep`, soundTrace)
	html := filepath.Join(t.TempDir(), "r.html")
	code, _, errs := memlab("compare", "-alloc", "segregated", "-reps", "1", "-html", html, path)
	require.Equal(t, exitOK, code, errs)
	report, err := os.ReadFile(html)
	require.NoError(t, err)
	checkReport(t, string(report))
	require.Contains(t, string(report), "&lt;script&gt;")
}

func TestCompareStopsWhenAsked(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var o, e bytes.Buffer
	code := run(ctx, &env{out: &o, err: &e}, []string{"compare", "-alloc", "go", "-html", "", "git-log"})
	require.Equal(t, exitFound, code)
	require.Equal(t, "memlab compare: interrupted\n", e.String())
	require.Empty(t, o.String())
}

// TestHelp keeps the help texts, each of which ends with an example.
func TestHelp(t *testing.T) {
	datadriven.RunTest(t, filepath.Join("testdata", "replayhelp"), func(t *testing.T, d *datadriven.TestData) string {
		code, out, errs := memlab(d.Cmd, "-h")
		require.Equal(t, exitOK, code)
		require.Empty(t, errs)
		require.Contains(t, out, "Example:\n  memlab "+d.Cmd)
		return strings.ReplaceAll(out, "\n\n", "\n.\n") // a blank line would end the expectation
	})
}

// TestCompareVM: with -vm there are figures of the simulated address space beside
// utilisation and time, in the table, in JSON and in the report.
func TestCompareVM(t *testing.T) {
	a, b := writeTrace(t, "one.rep", soundTrace), writeTrace(t, "two.rep", soundTrace)
	html := filepath.Join(t.TempDir(), "r.html")
	args := []string{"compare", "-vm", "-vm-huge", "-alloc", "segregated,tlsf,go", "-reps", "1", "-html", html}
	code, out, errs := memlab(append(args, a, b)...)
	require.Equal(t, exitOK, code, errs)
	for _, want := range []string{"Inside a simulated address space", "TLB misses/kop", "swap outs", "huge: TLB misses/kop", "no events", "2 of 2"} {
		require.Contains(t, out, want)
	}
	report, err := os.ReadFile(html)
	require.NoError(t, err)
	checkReport(t, string(report))
	for _, want := range []string{"TLB misses on each trace", "Swap traffic on each trace", "Page faults by memory size: one"} {
		require.Contains(t, string(report), want)
	}

	code, out, errs = memlab(append([]string{"compare", "-json"}, append(args[1:], a)...)...)
	require.Equal(t, exitOK, code, errs)
	var c compareJSON
	require.NoError(t, json.Unmarshal([]byte(out), &c))
	require.Len(t, c.Results, 3)
	require.Len(t, c.VM, 3)
	for _, r := range c.Results[:2] {
		require.NotNil(t, r.Utilisation)
		require.NotNil(t, r.VM)
		require.Positive(t, r.VM.PageFaults)
		require.NotNil(t, r.VM.Huge)
	}
	require.Nil(t, c.Results[2].VM, "Go's heap reports nothing")
	require.Zero(t, c.VM[2].Traces)

	_, out, _ = memlab("compare", "-json", "-html", "", "-alloc", "tlsf", "-reps", "1", a)
	require.NotContains(t, out, `"vm`)
}

// TestCompareVMBench: the lines for benchstat have the simulated machines too.
func TestCompareVMBench(t *testing.T) {
	a := writeTrace(t, "one.rep", soundTrace)
	code, out, errs := memlab("compare", "-vm", "-vm-huge", "-bench", "-html", "", "-alloc", "tlsf,go", "-reps", "1", a)
	require.Equal(t, exitOK, code, errs)
	require.Regexp(t, `(?m)^Unit TLB-misses better=lower assume=exact$`, out)
	for _, line := range []string{
		`BenchmarkReplay/alloc=tlsf/trace=one/heap=warm 8 [\d.]+ ns/op`,
		`BenchmarkPaging/alloc=tlsf/trace=one/machine=ample 8 \d+ TLB-misses \d+ walks \d+ page-faults \d+ peak-pages [\d.]+ mean-pages`,
		`BenchmarkPaging/alloc=tlsf/trace=one/machine=tight 8 \d+ TLB-misses \d+ page-faults \d+ swap-ins \d+ swap-outs`,
		`BenchmarkPaging/alloc=tlsf/trace=one/machine=huge 8 \d+ TLB-misses \d+ walks`,
	} {
		require.Regexp(t, "(?m)^"+line+"$", out)
	}
	require.NotContains(t, out, "BenchmarkPaging/alloc=go", "Go's heap reports nothing")

	_, out, _ = memlab("compare", "-bench", "-html", "", "-alloc", "tlsf", "-reps", "1", a)
	require.NotContains(t, out, "TLB")
}

// TestCompareVMFlags: what makes no sense is refused before anything is measured.
func TestCompareVMFlags(t *testing.T) {
	for _, flags := range []string{"-vm-tlb x", "-vm-memory 0", "-vm-memory -1", "-vm-policy OPT", "-vm-policy nonsense", "-vm-uses -1"} {
		code, out, errs := memlab(append([]string{"compare", "-vm"}, strings.Fields(flags)...)...)
		require.Equal(t, exitUsage, code, flags)
		require.Empty(t, out)
		require.NotEmpty(t, errs)
	}
}

// TestCompareVMPatience: the least patience is some, and 0 is no bound.
func TestCompareVMPatience(t *testing.T) {
	tr := writeTrace(t, "one.rep", "1000\n1\n600\n1\n"+strings.Repeat("a 0 5000\nf 0\n", 300))
	for patience, slow := range map[string]bool{"1ns": true, "0": false} {
		_, out, errs := memlab("compare", "-vm", "-alloc", "tlsf", "-reps", "1", "-html", "", "-patience", patience, tr)
		_, table, ok := strings.Cut(out, "Inside a simulated address space")
		require.True(t, ok, errs)
		require.Equal(t, slow, strings.Contains(table, "too slow"), "%s: %s", patience, table)
	}
}
