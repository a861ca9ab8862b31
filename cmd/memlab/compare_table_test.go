package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/bench/replay"
	"github.com/memlab-go/memlab/bench/trace"
)

// fixedComparison is a comparison whose figures were not measured but chosen,
// so that what is made of them can be kept in a golden file.
func fixedComparison(t *testing.T) *comparison {
	t.Helper()
	a, err := trace.Generate("larson", 1, 3000)
	require.NoError(t, err)
	c := &comparison{entries: []replay.Entry{{Name: "tight"}, {Name: "slow"}, {Name: "broken"}}}
	c.traces = []comparedTrace{{Trace: a.Head(2500)}, {Trace: a}}
	for i := range c.traces {
		for k, e := range c.entries {
			r := &replay.Result{Alloc: e.Name, Trace: "larson", Ops: len(c.traces[i].Ops), Valid: true}
			r.AddUsage(&replay.Usage{PeakLive: 900, PeakResident: int64(1000 * (k + 1)), PeakCommitted: int64(4096 * (i + 1)), MeanLiveOverResident: 0.5, MeanLiveOverCommitted: -1, MeanOfPoints: -1})
			r.AddTiming(replay.Timing{Warm: []float64{10 * float64(i+1)}, Cold: []float64{40}})
			c.cells = append(c.cells, cell{entry: e, trace: &c.traces[i], result: r})
		}
	}
	c.cells[1].result = &replay.Result{Alloc: "slow", Cold: []float64{2500}}
	c.cells[1].result.Fail(replay.ErrStopped)
	c.cells[5].result = &replay.Result{Alloc: "broken"}
	c.cells[5].result.Fail(errBroken{})
	return c
}

type errBroken struct{}

func (errBroken) Error() string { return "larson: operation 3: overlap" }

func TestTables(t *testing.T) {
	var sb strings.Builder
	require.NoError(t, fixedComparison(t).writeTables(&sb))
	got := regexp.MustCompile(`\(go1.*CPUs\)`).ReplaceAllString(sb.String(), "(machine)")
	want, err := os.ReadFile(filepath.Join("testdata", "compare_table"))
	require.NoError(t, err)
	require.Equal(t, string(want), got)
}

func TestVerdict(t *testing.T) {
	var errs strings.Builder
	c := fixedComparison(t)
	require.Equal(t, exitFound, c.verdict(&env{err: &errs}))
	require.Equal(t, "memlab compare: broken: larson: operation 3: overlap\n", errs.String(), "too slow is not wrong")
}

func TestSummaryLeavesOutWhatFailed(t *testing.T) {
	s := fixedComparison(t).summaries()
	require.Equal(t, 2, s[0].Traces)
	require.InDelta(t, 14.142, *s[0].NsPerOp, 1e-3, "geometric mean of 10 and 20")
	require.Equal(t, 1, s[1].Traces)
	require.InDelta(t, 0.45, *s[1].Utilisation, 1e-9)
}
