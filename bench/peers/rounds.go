package peers

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/memlab-go/memlab/bench/replay"
)

//go:embed creplay/replay.c
var creplay []byte

// Figures is what was measured: by measure ("warm", "pair 64", …), then by
// trace ("" where there is none), then by peer. Times are the least of all
// rounds, in nanoseconds.
type Figures map[string]map[string]map[string]float64

func (f Figures) keepLeast(measure, trace, peer string, v float64) {
	if f[measure] == nil {
		f[measure] = map[string]map[string]float64{}
	}
	if f[measure][trace] == nil {
		f[measure][trace] = map[string]float64{}
	}
	if old, ok := f[measure][trace][peer]; !ok || v < old {
		f[measure][trace][peer] = v
	}
}

// Rounds is a comparison.
type Rounds struct {
	Peers  []Peer
	Traces []string
	Rounds int  // of the times; memory is measured in the first
	Reps   int  // warm passes in each process
	Quick  bool // a twentieth of the operations of patterns with one thread
	// Step, if not nil, is told what is under way.
	Step func(done, total int, what string)

	dir      string // programs and the C replayer
	self     string
	programs map[string]string
	threaded int // operations of the patterns with threads, threadedOps if 0
}

// threadedOps makes a run with threads last some tenths of a second: for the first hundredth or
// more the system may leave both on the processor where one woke the other.
const threadedOps = 40_000_000

// A job is one measurement in one process.
type job struct {
	measure, trace string
	c, goArgs      []string // arguments for creplay, and for a Go child
	shared, once   bool
	names          map[string]string // of the figures it prints, to measures
}

// Run measures. A peer that cannot do something has no figure there; that a
// process fails otherwise is an error.
func (r *Rounds) Run(ctx context.Context) (Figures, error) {
	if err := r.prepare(ctx); err != nil {
		return nil, err
	}
	defer os.RemoveAll(r.dir)
	jobs := r.jobs()
	out := Figures{}
	total, done := r.Rounds*len(jobs)*len(r.Peers), 0
	for round := range r.Rounds {
		for _, j := range jobs {
			for _, p := range r.Peers {
				if done++; r.Step != nil {
					r.Step(done, total, strings.TrimSpace(j.measure+" "+j.trace)+" on "+p.Name)
				}
				if j.once && round > 0 || j.shared && p.Go != nil && p.Shared == nil {
					continue
				}
				got, err := r.measure(ctx, &p, &j)
				if err != nil {
					return nil, fmt.Errorf("%s %s on %s: %w", j.measure, j.trace, p.Name, err)
				}
				for name, least := range got {
					if measure := j.names[name]; measure != "" {
						out.keepLeast(measure, j.trace, p.Name, least)
					}
				}
			}
		}
	}
	return out, nil
}

// prepare compiles the C replayer and the programs of the traces. Without a C
// compiler the C peers are left out.
func (r *Rounds) prepare(ctx context.Context) (err error) {
	if r.self, err = os.Executable(); err != nil {
		return err
	}
	if r.dir, err = os.MkdirTemp("", "peers"); err != nil {
		return err
	}
	if err := r.compileC(ctx); err != nil {
		var goOnly []Peer
		for _, p := range r.Peers {
			if p.Go != nil {
				goOnly = append(goOnly, p)
			}
		}
		fmt.Fprintf(os.Stderr, "peers: no C allocators: %v\n", err)
		r.Peers = goOnly
	}
	r.programs = map[string]string{}
	for i, name := range r.Traces {
		t, err := OpenTrace(name)
		if err != nil {
			return err
		}
		p, err := replay.Compile(t)
		if err != nil {
			return err
		}
		path := filepath.Join(r.dir, strconv.Itoa(i)+".prog")
		f, err := os.Create(path)
		if err != nil {
			return err
		}
		if err := errors.Join(p.WriteBinary(f), f.Close()); err != nil {
			return err
		}
		r.programs[name] = path
	}
	return nil
}

func (r *Rounds) compileC(ctx context.Context) error {
	source := filepath.Join(r.dir, "replay.c")
	if err := os.WriteFile(source, creplay, 0o600); err != nil {
		return err
	}
	// The compiler knows malloc and would leave out a pair that does nothing.
	cmd := exec.CommandContext(ctx, "gcc", "-O2", "-fno-builtin", "-pthread", "-o", filepath.Join(r.dir, "creplay"), source)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("gcc: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

// jobs lists the measurements of one round.
func (r *Rounds) jobs() []job {
	var out []job
	reps := strconv.Itoa(max(r.Reps, 1))
	for _, t := range r.Traces {
		out = append(out,
			job{measure: "time", trace: t, c: []string{"time", r.programs[t], reps}, goArgs: []string{"time", t, reps}, names: map[string]string{"cold": "cold ns/op", "warm": "warm ns/op"}},
			job{measure: "memory", trace: t, once: true, c: []string{"memory", r.programs[t]}, goArgs: []string{"memory", t}, names: map[string]string{"utilisation": "peak util", "mean": "mean util"}})
	}
	n := 1
	if r.Quick {
		n = 20
	}
	same := func(measure, figure string, shared bool, args ...string) {
		out = append(out, job{measure: measure, c: args, goArgs: args, shared: shared, names: map[string]string{figure: measure}})
	}
	same("pair 64 B ns", "call", false, "pair", "64", strconv.Itoa(5_000_000/n))
	same("pair 256 B ns", "call", false, "pair", "256", strconv.Itoa(5_000_000/n))
	same("random frees ns", "call", false, "random", "10000", strconv.Itoa(max(100/n, 3)))
	ops := cmp.Or(r.threaded, threadedOps)
	same("larson 1 ns", "op", true, "larson", "1", strconv.Itoa(ops))
	same("larson 2 ns", "op", true, "larson", "2", strconv.Itoa(ops))
	same("large 1 ns", "op", true, "large", "1", strconv.Itoa(ops/4))
	same("large 2 ns", "op", true, "large", "2", strconv.Itoa(ops/4))
	same("handover ns", "block", true, "handover", strconv.Itoa(ops/4))
	return out
}

// Measures lists the measures in the order of reports.
func Measures() []string {
	return []string{"warm ns/op", "cold ns/op", "peak util", "mean util", "pair 64 B ns", "pair 256 B ns", "random frees ns", "larson 1 ns", "larson 2 ns", "large 1 ns", "large 2 ns", "handover ns"}
}

// measure runs one process and returns the least of each figure that it prints.
func (r *Rounds) measure(ctx context.Context, p *Peer, j *job) (map[string]float64, error) {
	out, err := r.process(ctx, p, j.c, j.goArgs)
	if err != nil {
		return nil, err
	}
	got := map[string]float64{}
	for s := bufio.NewScanner(bytes.NewReader(out)); s.Scan(); {
		name, value, _ := strings.Cut(s.Text(), " ")
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return nil, fmt.Errorf("unexpected line %q", s.Text())
		}
		if old, ok := got[name]; !ok || v < old {
			got[name] = v
		}
	}
	return got, nil
}

// process runs the measuring process of a peer and returns its output.
func (r *Rounds) process(ctx context.Context, p *Peer, c, goArgs []string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	var cmd *exec.Cmd
	if p.Go != nil {
		cmd = exec.CommandContext(ctx, r.self, append([]string{"-child", p.Name}, goArgs...)...)
	} else {
		cmd = exec.CommandContext(ctx, filepath.Join(r.dir, "creplay"), c...)
		cmd.Env = append(os.Environ(), "LD_PRELOAD="+p.Preload)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return out, fmt.Errorf("%w: %s", err, bytes.TrimSpace(stderr.Bytes()))
	}
	return out, nil
}

// Misuse returns what each peer does about each kind of bad free, by kind, then
// by peer. A process that dies by a signal of its own is one that noticed.
func (r *Rounds) Misuse(ctx context.Context) (map[string]map[string]string, error) {
	if err := r.prepare(ctx); err != nil {
		return nil, err
	}
	defer os.RemoveAll(r.dir)
	out := map[string]map[string]string{}
	for _, kind := range MisuseKinds() {
		out[kind] = map[string]string{}
		for _, p := range r.Peers {
			if p.Name == "go" {
				continue // it has no free
			}
			got, err := r.process(ctx, &p, []string{"misuse", kind}, []string{"misuse", kind})
			out[kind][p.Name] = verdict(string(got), err)
		}
	}
	return out, nil
}

// MisuseKinds lists the bad frees that are tried.
func MisuseKinds() []string { return []string{"double", "interior", "foreign"} }

// verdict puts the end of a misuse process in a few words.
func verdict(out string, err error) string {
	text := ""
	if err != nil {
		text = err.Error()
	}
	switch {
	case strings.HasPrefix(out, "caught"):
		return "reported"
	case strings.HasPrefix(out, "twice"):
		return "SILENT: a block handed out twice"
	case strings.HasPrefix(out, "overlap"):
		return "SILENT: live memory handed out"
	case strings.HasPrefix(out, "silent"):
		return "silent"
	case strings.Contains(text, "segmentation") || strings.Contains(text, "SIGSEGV"):
		return "crash (SIGSEGV)"
	case strings.Contains(text, "abort"):
		return "abort"
	default:
		return "died"
	}
}
