package replay

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/memlab-go/memlab/internal/cli"
)

// ResultSchema names the JSON form of a [Result].
const ResultSchema = "memlab/replay/v1"

// A Result is what one allocator did with one trace. Sizes are in bytes, times
// in nanoseconds of wall time an operation, utilisations are shares from 0 to
// 1. A figure that was not measured, or cannot be on this system, is absent
// from the JSON.
type Result struct {
	Schema  string `json:"schema"`
	Alloc   string `json:"alloc"`
	Trace   string `json:"trace"`
	Ops     int    `json:"ops"`
	Prefix  bool   `json:"prefix,omitempty"`   // the trace is the beginning of a longer one
	FullOps int64  `json:"full_ops,omitempty"` // operations of the longer one, where known

	PeakLive      int64  `json:"peak_live_bytes"`
	PeakCommitted *int64 `json:"peak_committed_bytes,omitempty"`
	PeakResident  *int64 `json:"peak_resident_bytes,omitempty"`

	Utilisation              *float64 `json:"utilisation,omitempty"`      // peak live / peak resident growth
	MeanUtilisation          *float64 `json:"mean_utilisation,omitempty"` // mean live / mean resident growth over the even points
	MeanOfPoints             *float64 `json:"mean_of_points,omitempty"`   // mean over the even points of live / resident growth at each
	UtilisationCommitted     *float64 `json:"utilisation_committed,omitempty"`
	MeanUtilisationCommitted *float64 `json:"mean_utilisation_committed,omitempty"`

	Moved *float64 `json:"moved,omitempty"` // bytes that Compact moved / bytes allocated

	Fragmentation *Fragmentation `json:"fragmentation,omitempty"`

	NsPerOp     *float64  `json:"ns_per_op,omitempty"`      // warm: the least of Warm
	ColdNsPerOp *float64  `json:"cold_ns_per_op,omitempty"` // the least of Cold
	Warm        []float64 `json:"warm_samples_ns,omitempty"`
	Cold        []float64 `json:"cold_samples_ns,omitempty"`

	Valid bool   `json:"valid"`
	Error string `json:"error,omitempty"` // why it is not valid, or what ended the measurement

	Stopped bool `json:"stopped,omitempty"` // the measurement took too long and was ended

	Points []Point `json:"points,omitempty"`
}

// Fail notes that err ended the measurement.
func (r *Result) Fail(err error) {
	r.Error, r.Valid, r.Stopped = err.Error(), false, errors.Is(err, ErrStopped)
}

// Err returns the error that Fail noted, or nil. It is ErrStopped if that was.
func (r *Result) Err() error {
	switch {
	case r.Stopped:
		return ErrStopped
	case r.Error != "":
		return errors.New(r.Error)
	default:
		return nil
	}
}

// AddUsage puts what Utilisation measured into r.
func (r *Result) AddUsage(u *Usage) {
	known := func(v int64) *int64 {
		if v < 0 {
			return nil
		}
		return &v
	}
	knownShare := func(v float64) *float64 {
		if v < 0 {
			return nil
		}
		return &v
	}
	r.PeakLive = u.PeakLive
	r.PeakCommitted, r.PeakResident = known(u.PeakCommitted), known(u.PeakResident)
	r.Utilisation, r.MeanUtilisation = knownShare(u.PeakOverResident()), knownShare(u.MeanLiveOverResident)
	r.UtilisationCommitted, r.MeanUtilisationCommitted = knownShare(u.PeakOverCommitted()), knownShare(u.MeanLiveOverCommitted)
	r.MeanOfPoints = knownShare(u.MeanOfPoints)
	if u.Moved > 0 {
		r.Moved = &u.Moved
	}
	r.Fragmentation = &u.Fragmentation
	r.Points = u.Points
}

// TakeUsage copies what another process measured of memory into r.
func (r *Result) TakeUsage(from *Result) {
	r.PeakLive, r.PeakCommitted, r.PeakResident = from.PeakLive, from.PeakCommitted, from.PeakResident
	r.Utilisation, r.MeanUtilisation = from.Utilisation, from.MeanUtilisation
	r.UtilisationCommitted, r.MeanUtilisationCommitted = from.UtilisationCommitted, from.MeanUtilisationCommitted
	r.MeanOfPoints, r.Moved = from.MeanOfPoints, from.Moved
	r.Fragmentation, r.Points = from.Fragmentation, from.Points
}

// AddTiming puts what Throughput measured into r.
func (r *Result) AddTiming(t Timing) {
	r.Warm, r.Cold = t.Warm, t.Cold
	if len(t.Warm) > 0 {
		v := slices.Min(t.Warm)
		r.NsPerOp = &v
	}
	if len(t.Cold) > 0 {
		v := slices.Min(t.Cold)
		r.ColdNsPerOp = &v
	}
}

// BenchHeader tells benchstat how to treat the lines of WriteBench: util% is
// better when higher, and the same in every run.
const BenchHeader = "Unit util% better=higher assume=exact\nUnit mean-util% better=higher assume=exact\nUnit peak-B better=lower assume=exact\n"

// WriteBench writes r as lines in the format of Go benchmarks, one for each
// warm repetition and one for each cold one.
func (r *Result) WriteBench(w io.Writer) error {
	var sb strings.Builder
	key := fmt.Sprintf("alloc=%s/trace=%s", r.Alloc, r.Trace)
	if r.Utilisation != nil {
		fmt.Fprintf(&sb, "BenchmarkUtilisation/%s 1 %.2f util%%", key, 100**r.Utilisation)
		if r.MeanUtilisation != nil {
			fmt.Fprintf(&sb, " %.2f mean-util%%", 100**r.MeanUtilisation)
		}
		fmt.Fprintf(&sb, " %d peak-B\n", *r.PeakResident)
	}
	for _, ns := range r.Warm {
		fmt.Fprintf(&sb, "BenchmarkReplay/%s/heap=warm %d %.3f ns/op\n", key, r.Ops, ns)
	}
	for _, ns := range r.Cold {
		fmt.Fprintf(&sb, "BenchmarkReplay/%s/heap=cold %d %.3f ns/op\n", key, r.Ops, ns)
	}
	_, err := io.WriteString(w, sb.String())
	return err
}

// String lists r for people, a line for each thing that was measured.
func (r *Result) String() string {
	var sb strings.Builder
	line := func(what, format string, args ...any) {
		fmt.Fprintf(&sb, "%-14s%s\n", what, fmt.Sprintf(format, args...))
	}
	line("allocator", "%s", r.Alloc)
	line("trace", "%s, %s ops%s", r.Trace, cli.Count(int64(r.Ops)), r.prefixNote())
	line("peak live", "%s", cli.Bytes(r.PeakLive))
	if r.PeakCommitted != nil && r.UtilisationCommitted != nil && r.MeanUtilisationCommitted != nil {
		line("committed", "%s at the peak, utilisation %.1f %%, mean %.1f %%", cli.Bytes(*r.PeakCommitted), 100**r.UtilisationCommitted, 100**r.MeanUtilisationCommitted)
	}
	if r.PeakResident != nil && r.Utilisation != nil && r.MeanUtilisation != nil {
		line("resident", "%s at the peak, utilisation %.1f %%, mean %.1f %%", cli.Bytes(*r.PeakResident), 100**r.Utilisation, 100**r.MeanUtilisation)
	}
	if r.Moved != nil {
		line("moved", "%.1f %% of the allocated bytes", 100**r.Moved)
	}
	if f := r.Fragmentation; f != nil && *f != (Fragmentation{}) {
		line("internal", "fragmentation %.1f %% at the peak, mean %.1f %%", 100*f.PeakInternal, 100*f.MeanInternal)
		line("external", "fragmentation %.1f %% at the peak, mean %.1f %%", 100*f.PeakExternal, 100*f.MeanExternal)
	}
	if r.NsPerOp != nil {
		line("warm", "%.2f ns/op", *r.NsPerOp)
	}
	if r.ColdNsPerOp != nil {
		line("cold", "%.2f ns/op", *r.ColdNsPerOp)
	}
	if r.Valid {
		line("valid", "yes")
	} else {
		line("valid", "NO: %s", r.Error)
	}
	return sb.String()
}

func (r *Result) prefixNote() string {
	switch {
	case !r.Prefix:
		return ""
	case r.FullOps == 0:
		return " (a prefix)"
	default:
		return fmt.Sprintf(" (a prefix of %s)", cli.Count(r.FullOps))
	}
}
