// Command peers measures memlab's allocators beside those that others wrote and
// prints the figures side by side:
//
//	go run ./cmd/peers                      seven real traces and the patterns
//	go run ./cmd/peers -rounds 7 git-log    fewer traces, more rounds
//	go run ./cmd/peers -traces random cache larson   generated patterns
//	go run ./cmd/peers -misuse              what each does about a bad free
//
// Run it in the module bench/peers. C allocators are measured if gcc is there,
// and preloaded ones if their libraries are installed. Build with -tags cgomalloc
// to add C's malloc called through cgo.
package main

import (
	"context"
	"flag"
	"fmt"
	"math"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"

	"github.com/memlab-go/memlab/bench/corpus"
	"github.com/memlab-go/memlab/bench/peers"
	"github.com/memlab-go/memlab/internal/cli"
)

func main() {
	var (
		child  = flag.String("child", "", "measure the Go allocator of this `name` here (what a measuring process does)")
		only   = flag.String("peers", "", "comma-separated `names`, all if empty")
		rounds = flag.Int("rounds", 5, "interleaved rounds; the least time counts")
		reps   = flag.Int("reps", 5, "warm passes in each process")
		quick  = flag.Bool("quick", false, "a twentieth of the operations of patterns with one thread")
		asJSON = flag.Bool("json", false, "write the figures as JSON")
		misuse = flag.Bool("misuse", false, "show what each allocator does about bad frees, and measure nothing")
		detail = flag.Bool("traces", false, "print the figures of each trace, too")
	)
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if *child != "" {
		exit(peers.Child(os.Stdout, *child, flag.Args()))
	}
	r := peers.Rounds{Peers: choose(*only), Traces: flag.Args(), Rounds: *rounds, Reps: *reps, Quick: *quick}
	if len(r.Peers) == 0 {
		fmt.Fprintf(os.Stderr, "peers: none of %q is here\n", *only)
		os.Exit(2)
	}
	if *misuse {
		r.Traces = nil
		exit(printMisuse(ctx, &r))
	}
	if len(r.Traces) == 0 {
		r.Traces = corpus.Names()
	}
	fi, err := os.Stderr.Stat()
	bar := cli.NewProgress(os.Stderr, err == nil && fi.Mode()&os.ModeCharDevice != 0, time.Now)
	r.Step = func(done, total int, what string) { bar.Step(int64(done), int64(total), what) }
	f, err := r.Run(ctx)
	bar.Done()
	if err != nil {
		exit(err)
	}
	if *asJSON {
		exit(cli.WriteJSON(os.Stdout, map[string]any{"schema": "memlab/peers/v1", "figures": f}))
	}
	exit(printTables(&r, f, *detail))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func choose(names string) []peers.Peer {
	known := peers.Known()
	if names == "" {
		return known
	}
	want := cli.List(names)
	return slices.DeleteFunc(known, func(p peers.Peer) bool { return !slices.Contains(want, p.Name) })
}

// printTables prints the geometric means, the same relative to mimalloc (or the
// last peer), and each trace if asked.
func printTables(r *peers.Rounds, f peers.Figures, detail bool) error {
	if detail {
		for _, m := range peers.Measures() {
			if len(f[m]) < 2 {
				continue
			}
			tab := table(m, r)
			for _, t := range r.Traces {
				tab.Rows = append(tab.Rows, row(t, r, func(p string) float64 { return f[m][t][p] }, m))
			}
			if _, err := tab.WriteTo(os.Stdout); err != nil {
				return err
			}
			fmt.Println()
		}
	}
	mean := func(m, p string) float64 { return geomean(f[m], p) }
	tab := table("geo-mean", r)
	for _, m := range peers.Measures() {
		tab.Rows = append(tab.Rows, row(m, r, func(p string) float64 { return mean(m, p) }, m))
	}
	if _, err := tab.WriteTo(os.Stdout); err != nil {
		return err
	}
	base := r.Peers[len(r.Peers)-1].Name
	fmt.Printf("\nRelative to %s (times: less is better; utilisation: more is better)\n", base)
	rel := table("ratio", r)
	for _, m := range peers.Measures() {
		b := mean(m, base)
		rel.Rows = append(rel.Rows, row(m, r, func(p string) float64 { return mean(m, p) / b }, "ratio"))
	}
	_, err := rel.WriteTo(os.Stdout)
	return err
}

func table(first string, r *peers.Rounds) cli.Table {
	t := cli.Table{Head: []string{first}}
	for _, p := range r.Peers {
		t.Head = append(t.Head, p.Name)
	}
	return t
}

func row(name string, r *peers.Rounds, value func(peer string) float64, measure string) []string {
	out := []string{name}
	for _, p := range r.Peers {
		v := value(p.Name)
		switch {
		case v <= 0 || math.IsNaN(v) || math.IsInf(v, 0):
			out = append(out, "–")
		case strings.HasSuffix(measure, "util"):
			out = append(out, fmt.Sprintf("%.1f %%", 100*v))
		case measure == "ratio":
			out = append(out, fmt.Sprintf("%.2f", v))
		default:
			out = append(out, fmt.Sprintf("%.1f", v))
		}
	}
	return out
}

// geomean is over the traces, or the one figure of a pattern.
func geomean(byTrace map[string]map[string]float64, peer string) float64 {
	sum, n := 0.0, 0
	for _, figures := range byTrace {
		v, ok := figures[peer]
		if !ok || v <= 0 {
			return 0
		}
		sum += math.Log(v)
		n++
	}
	if n == 0 {
		return 0
	}
	return math.Exp(sum / float64(n))
}

func printMisuse(ctx context.Context, r *peers.Rounds) error {
	got, err := r.Misuse(ctx)
	if err != nil {
		return err
	}
	tab := cli.Table{Head: append([]string{"allocator"}, peers.MisuseKinds()...), Left: 1 + len(peers.MisuseKinds())}
	for _, p := range r.Peers {
		if p.Name == "go" {
			continue
		}
		line := []string{p.Name}
		for _, kind := range peers.MisuseKinds() {
			line = append(line, got[kind][p.Name])
		}
		tab.Rows = append(tab.Rows, line)
	}
	_, err = tab.WriteTo(os.Stdout)
	return err
}
