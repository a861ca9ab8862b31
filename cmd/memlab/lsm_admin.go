package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/memlab-go/memlab/internal/cli"
	"github.com/memlab-go/memlab/lsm"
)

// The names of the JSON of these verbs.
const (
	lsmStatsSchema   = "memlab/lsm-stats/v1"
	lsmCheckSchema   = "memlab/lsm-check/v1"
	lsmCompactSchema = "memlab/lsm-compact/v1"
)

func runLsmStats(_ context.Context, e *env, args []string) int {
	f := newLsmFlags(e, "stats", "DIR", "Prints levels, memory shares and counters of a store, which is opened read-only.",
		"memlab lsm stats -json /tmp/db").withJSON(lsmStatsSchema)
	operands, code, ok := f.parse(e, args, 1, 1)
	if !ok {
		return code
	}
	return f.with(e, operands[0], readOnly, func(d *lsm.DB) error {
		s := d.Stats()
		if f.json {
			return cli.WriteJSON(e.out, struct {
				Schema string `json:"schema"`
				Dir    string `json:"dir"`
				lsm.Stats
			}{lsmStatsSchema, operands[0], s})
		}
		return printLsmStats(e.out, &s)
	})
}

func printLsmStats(w io.Writer, s *lsm.Stats) error {
	fmt.Fprintln(w, "level  tables       bytes  score")
	for _, l := range s.Levels {
		fmt.Fprintf(w, "%5d  %6d  %10s  %5.2f\n", l.Level, l.Files, cli.Bytes(int64(l.Bytes)), l.Score)
	}
	fmt.Fprintf(w, "\nmemory off the Go heap: limit %s\n", cli.Bytes(int64(s.Memory.Limit)))
	m := &s.Memory
	for _, p := range []struct {
		name string
		lsm.Share
		note string
	}{
		{"memtables", m.Memtables, fmt.Sprintf("  filled %10s", cli.Bytes(int64(m.MemtableUse)))},
		{"block cache", m.BlockCache, ""},
		{"index and filters", m.Tables, ""},
		{"cache, index, filters", lsm.Share{Bytes: m.BlockCache.Bytes + m.Tables.Bytes, Used: m.BlockCache.Used + m.Tables.Used},
			"  they lend each other room"},
		{"log buffer", m.LogBuffer, ""},
	} {
		fmt.Fprintf(w, "  %-21s share %10s  held %10s%s\n", p.name, cli.Bytes(int64(p.Bytes)), cli.Bytes(int64(p.Used)), p.note)
	}
	fmt.Fprintf(w, "\nentries in memtables %d, last sequence number %d, space amplification %.2f\n",
		s.Memory.Entries, s.LastSeq, s.SpaceAmplification)
	for _, warning := range s.Warnings {
		fmt.Fprintf(w, "warning: %s\n", warning)
	}
	return nil
}

func runLsmCheck(_ context.Context, e *env, args []string) int {
	f := newLsmFlags(e, "check", "DIR", `
Reads the whole store, read-only, and prints every broken law: order, checksums,
bounds, levels, sequence numbers. Exit code 1 if there is any, also if opening left
out a part of a log for it. Only a last write that the end of a log or of the
MANIFEST cuts short, which is what a crash leaves, is told and is no fault.`,
		"memlab lsm check /tmp/db").withJSON(lsmCheckSchema)
	operands, code, ok := f.parse(e, args, 1, 1)
	if !ok {
		return code
	}
	r := lsmCheckReport{Schema: lsmCheckSchema, Dir: operands[0], Faults: []string{}}
	code = f.with(e, operands[0], readOnly, func(d *lsm.DB) error {
		s := d.Stats()
		for _, l := range s.Levels {
			r.Tables += l.Files
		}
		r.LogEntries, r.LastSeq, r.Recovery = s.Memory.Entries, uint64(s.LastSeq), d.Recovery()
		return errors.Join(leftOut(&r.Recovery), d.Check())
	})
	switch {
	case code == exitUsage:
		return code
	case f.json:
		if r.OK = f.failed == nil; !r.OK {
			r.Faults = append(r.Faults, f.failed.Error())
		}
		if err := cli.WriteJSON(e.out, &r); err != nil {
			fmt.Fprintf(e.err, "memlab lsm check: %v\n", err)
			return exitFound
		}
	case code == exitOK:
		fmt.Fprintf(e.out, "ok: %d tables, %d entries in logs, last sequence number %d\n", r.Tables, r.LogEntries, r.LastSeq)
	}
	return code
}

// leftOut is the fault that opening left out more of the logs than the end that a
// crash cuts short. What was wrong there, reportRecovery says.
func leftOut(r *lsm.RecoveryReport) error {
	var errs []error
	for _, l := range r.Logs {
		if len(l.Damage) > 0 && !l.CutShort {
			errs = append(errs, fmt.Errorf("%s: %d of its %d bytes are damaged and were left out", l.Name, l.Dropped, l.Bytes))
		}
	}
	return errors.Join(errs...)
}

// lsmCheckReport is the JSON of check.
type lsmCheckReport struct {
	Schema     string             `json:"schema"`
	Dir        string             `json:"dir"`
	OK         bool               `json:"ok"`
	Faults     []string           `json:"faults"`
	Tables     int                `json:"tables"`
	LogEntries int                `json:"log_entries"`
	LastSeq    uint64             `json:"last_seq"`
	Recovery   lsm.RecoveryReport `json:"recovery"`
}

func runLsmCompact(_ context.Context, e *env, args []string) int {
	f := newLsmFlags(e, "compact", "DIR [FROM [TO]]", "Compacts the tables that hold keys from FROM to TO, or all.",
		"memlab lsm compact /tmp/db").withHex().withJSON(lsmCompactSchema)
	operands, code, ok := f.parse(e, args, 1, 3)
	if !ok {
		return code
	}
	bounds, err := f.keys(operands[1:])
	if err != nil {
		return f.usage(e, err)
	}
	bounds = append(bounds, nil, nil)
	return f.with(e, operands[0], mustExist, func(d *lsm.DB) error {
		start := time.Now()
		if err := d.CompactRange(bounds[0], bounds[1]); err != nil {
			return err
		}
		s := d.Stats()
		if f.json {
			return cli.WriteJSON(e.out, struct {
				Schema string `json:"schema"`
				Dir    string `json:"dir"`
				lsm.Stats
			}{lsmCompactSchema, operands[0], s})
		}
		_, err := fmt.Fprintf(e.out, "read %s, wrote %s in %v\n", cli.Bytes(int64(s.CompactRead)),
			cli.Bytes(int64(s.CompactWritten+s.FlushBytes)), time.Since(start).Round(time.Millisecond))
		return err
	})
}
