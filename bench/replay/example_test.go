package replay_test

import (
	"fmt"
	"strings"
	"time"

	"github.com/memlab-go/memlab/bench/replay"
	"github.com/memlab-go/memlab/bench/trace"
)

func Example() {
	t, err := trace.Read(strings.NewReader("100\n2\n3\n1\na 0 1000\nr 0 3000\na 1 500\n"), "small.rep", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	entries, _ := replay.Find(replay.Known(), "segregated")
	fmt.Println("valid:", replay.Verify(t, entries[0], replay.Config{}) == nil)

	p, _ := replay.Compile(t)
	fmt.Println("peak live:", p.PeakLive, "in", p.Ops, "operations")
	timing, err := replay.Throughput(p, entries[0], replay.Config{}, 3, time.Now)
	fmt.Println(len(timing.Cold), "cold and", len(timing.Warm), "warm times", err)
	// Output:
	// valid: true
	// peak live: 3500 in 3 operations
	// 3 cold and 3 warm times <nil>
}

func ExampleVerify() {
	t, _ := trace.Read(strings.NewReader("100\n2\n2\n1\na 0 1000\na 1 99000000\n"), "large.rep", nil)
	entries, _ := replay.Find(replay.Known(), "segregated")
	err := replay.Verify(t, entries[0], replay.Config{Limit: 1 << 20})
	fmt.Println(strings.HasPrefix(err.Error(), "large: operation 2: alloc: malloc 99000000 bytes: out of memory (limit 1048576"))
	// Output: true
}

func ExampleFind() {
	_, err := replay.Find(replay.Known(), "dlmalloc")
	fmt.Println(strings.Cut(err.Error(), ";"))
	// Output: unknown allocator "dlmalloc"  known are segregated, shared, handle, tlsf, buddy, fit-first, fit-first-address, fit-next, fit-best, fit-worst, segregated-compact, go true
}

func ExampleResult() {
	r := replay.Result{Alloc: "segregated", Trace: "git-log", Ops: 46022, Valid: true}
	r.AddTiming(replay.Timing{Warm: []float64{11.5, 11.25}})
	fmt.Print(&r)
	fmt.Println(*r.NsPerOp)
	// Output:
	// allocator     segregated
	// trace         git-log, 46 022 ops
	// peak live     0 B
	// warm          11.25 ns/op
	// valid         yes
	// 11.25
}
