package replay

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func sampleResult() *Result {
	r := &Result{Schema: ResultSchema, Alloc: "x", Trace: "git", Ops: 1000, Valid: true}
	r.AddUsage(&Usage{PeakLive: 90, PeakResident: 100, PeakCommitted: -1, MeanLiveOverResident: 0.5, MeanLiveOverCommitted: -1, MeanOfPoints: 0.625})
	r.AddTiming(Timing{Warm: []float64{12.5, 11}, Cold: []float64{20}})
	return r
}

func TestResultJSONLeavesOutWhatWasNotMeasured(t *testing.T) {
	b, err := json.Marshal(sampleResult())
	require.NoError(t, err)
	require.JSONEq(t, `{"schema":"memlab/replay/v1","alloc":"x","trace":"git","ops":1000,"peak_live_bytes":90,
		"peak_resident_bytes":100,"utilisation":0.9,"mean_utilisation":0.5,"mean_of_points":0.625,
		"fragmentation":{"mean_internal":0,"peak_internal":0,"mean_external":0,"peak_external":0},
		"ns_per_op":11,"cold_ns_per_op":20,"warm_samples_ns":[12.5,11],"cold_samples_ns":[20],"valid":true}`, string(b))
}

func TestResultBenchLines(t *testing.T) {
	var sb strings.Builder
	require.NoError(t, sampleResult().WriteBench(&sb))
	require.Equal(t, `BenchmarkUtilisation/alloc=x/trace=git 1 90.00 util% 50.00 mean-util% 100 peak-B
BenchmarkReplay/alloc=x/trace=git/heap=warm 1000 12.500 ns/op
BenchmarkReplay/alloc=x/trace=git/heap=warm 1000 11.000 ns/op
BenchmarkReplay/alloc=x/trace=git/heap=cold 1000 20.000 ns/op
`, sb.String())
}

func TestResultText(t *testing.T) {
	require.Equal(t, `allocator     x
trace         git, 1 000 ops
peak live     90 B
resident      100 B at the peak, utilisation 90.0 %, mean 50.0 %
warm          11.00 ns/op
cold          20.00 ns/op
valid         yes
`, sampleResult().String())
}

// A heap that has not grown has no utilisation over committed bytes.
func TestResultTextWithoutGrowth(t *testing.T) {
	r := &Result{Alloc: "go", Trace: "tiny", Ops: 1, Valid: true}
	r.AddUsage(&Usage{PeakLive: 16, MeanLiveOverResident: -1, MeanLiveOverCommitted: -1, MeanOfPoints: -1})
	require.Equal(t, "allocator     go\ntrace         tiny, 1 ops\npeak live     16 B\nvalid         yes\n", r.String())
}
