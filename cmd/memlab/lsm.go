package main

import (
	"context"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"

	"github.com/memlab-go/memlab/internal/cli"
	"github.com/memlab-go/memlab/lsm"
)

// lsmVerbs lists the subcommands of lsm in the order of the help text.
func lsmVerbs() []command {
	return []command{
		{"put", "DIR KEY VALUE: store a value", runLsmPut},
		{"get", "DIR KEY: print a value", runLsmGet},
		{"delete", "DIR KEY…: remove keys, or with -range those in [KEY, KEY)", runLsmDelete},
		{"scan", "DIR [FROM [TO]]: print keys and values in order", runLsmScan},
		{"load", "DIR: apply JSON lines from standard input", runLsmLoad},
		{"dump", "DIR: write all as JSON lines, without changing the store", runLsmDump},
		{"stats", "DIR: levels, memory, amplification", runLsmStats},
		{"check", "DIR: read everything and report every broken law", runLsmCheck},
		{"repair", "DIR: make a store that opens again of what can still be read", runLsmRepair},
		{"compact", "DIR [FROM [TO]]: compact a range of keys, or all", runLsmCompact},
	}
}

// runLsm finds the verb and runs it.
func runLsm(ctx context.Context, e *env, args []string) int {
	if len(args) > 0 {
		for _, v := range lsmVerbs() {
			if v.name == args[0] {
				return v.run(ctx, e, args[1:])
			}
		}
	}
	if len(args) > 0 {
		switch args[0] {
		case "-h", "-help", "--help":
			lsmUsage(e.out)
			return exitOK
		}
		fmt.Fprintf(e.err, "memlab lsm: unknown verb %q\n\n", args[0])
	}
	lsmUsage(e.err)
	return exitUsage
}

func lsmUsage(w io.Writer) {
	fmt.Fprintln(w, "Usage: memlab lsm VERB [flags] DIR …")
	fmt.Fprintln(w)
	for _, v := range lsmVerbs() {
		fmt.Fprintf(w, "  %-8s %s\n", v.name, v.summary)
	}
	fmt.Fprintln(w, "\nmemlab lsm VERB -h explains a verb and gives an example, such as:\n  memlab lsm put /tmp/db hello world")
}

// lsmFlags is what all verbs have in common, and what several have.
type lsmFlags struct {
	fs         *flag.FlagSet
	operands   string // as the help names them
	hex        bool
	recovery   string
	memory     int
	json       bool
	durability string
	failed     error // what with reported
}

func newLsmFlags(e *env, verb, operands, description, example string) *lsmFlags {
	f := &lsmFlags{fs: cli.Flags(e.err, "lsm "+verb, operands, description, example), operands: operands}
	f.fs.StringVar(&f.recovery, "recovery", "torn-tail",
		"what to do about a damaged log: `mode` torn-tail, strict, point-in-time or salvage")
	f.fs.IntVar(&f.memory, "memory", 0, "most `bytes` to hold off the Go heap, 0 for the default")
	return f
}

// withHex adds the flag of the verbs that take keys.
func (f *lsmFlags) withHex() *lsmFlags {
	f.fs.BoolVar(&f.hex, "hex", false, "keys and values are written in hexadecimal")
	return f
}

// withJSON adds the flag of the verbs that can write JSON. Schema names it.
func (f *lsmFlags) withJSON(schema string) *lsmFlags {
	f.fs.BoolVar(&f.json, "json", false, "write JSON ("+schema+")")
	return f
}

// withDurability adds the flag of the verbs that write.
func (f *lsmFlags) withDurability() *lsmFlags {
	f.fs.StringVar(&f.durability, "durability", "os", "what a write survives once it has returned: `level` sync (power loss), os (kill -9) or buffered")
	return f
}

// writeOptions makes the options of writes of the flags.
func (f *lsmFlags) writeOptions() (*lsm.WriteOptions, error) {
	level, err := lsm.ParseDurability(f.durability)
	return &lsm.WriteOptions{Durability: level}, err
}

// usage reports a command line that makes no sense.
func (f *lsmFlags) usage(e *env, err error) int {
	fmt.Fprintf(e.err, "memlab %s: %v\n", f.fs.Name(), err)
	return exitUsage
}

// parse parses the command line, which must have between least and most operands
// (most < 0: any number), the first of them the directory.
func (f *lsmFlags) parse(e *env, args []string, least, most int) (operands []string, code int, ok bool) {
	if code, ok := cli.Parse(f.fs, args); !ok {
		return nil, code, false
	}
	n := f.fs.NArg()
	if n < least || most >= 0 && n > most {
		fmt.Fprintf(e.err, "memlab %s: want %s, got %d operands (flags stand before them)\n", f.fs.Name(), f.operands, n)
		return nil, exitUsage, false
	}
	return f.fs.Args(), exitOK, true
}

// options makes the store's options of the flags.
func (f *lsmFlags) options() (*lsm.Options, error) {
	o := &lsm.Options{MemoryLimit: f.memory}
	for _, m := range []lsm.RecoveryMode{lsm.TornTail, lsm.Strict, lsm.PointInTime, lsm.Salvage} {
		if m.String() == f.recovery {
			o.Recovery = m
			return o, nil
		}
	}
	return nil, fmt.Errorf("recovery mode %q is none of torn-tail, strict, point-in-time, salvage", f.recovery)
}

// key decodes an operand.
func (f *lsmFlags) key(s string) ([]byte, error) {
	if !f.hex {
		return []byte(s), nil
	}
	b, err := hex.DecodeString(s)
	if err != nil {
		return nil, fmt.Errorf("%q is not hexadecimal: %w", s, err)
	}
	return b, nil
}

// keys decodes operands.
func (f *lsmFlags) keys(operands []string) ([][]byte, error) {
	var out [][]byte
	for _, s := range operands {
		k, err := f.key(s)
		if err != nil {
			return nil, err
		}
		out = append(out, k)
	}
	return out, nil
}

// with opens the store, runs fn and closes the store again. It prints errors and
// what recovery left out, and returns the exit code.
func (f *lsmFlags) with(e *env, dir string, set func(*lsm.Options), fn func(*lsm.DB) error) int {
	o, err := f.options()
	if err != nil {
		fmt.Fprintf(e.err, "memlab %s: %v\n", f.fs.Name(), err)
		return exitUsage
	}
	if set != nil {
		set(o)
	}
	d, err := lsm.Open(dir, o)
	if err == nil {
		reportRecovery(e, d.Recovery())
		err = fn(d)
		err = errors.Join(err, d.Close())
	}
	if err != nil {
		f.failed = err
		complain(e, f.fs.Name(), err)
		return exitFound
	}
	return exitOK
}

// reportRecovery says what recovery left out.
func reportRecovery(e *env, r lsm.RecoveryReport) {
	if r.ManifestCut != "" {
		fmt.Fprintf(e.err, "memlab: the MANIFEST ended in an unfinished edit, which was never acted on: %s\n", r.ManifestCut)
	}
	for _, l := range r.Logs {
		for _, what := range l.Damage {
			fmt.Fprintf(e.err, "memlab: %s: %d bytes were left out: %s\n", l.Name, l.Dropped, what)
		}
	}
	for _, name := range r.Kept {
		fmt.Fprintf(e.err, "memlab: the damaged log was kept as %s\n", name)
	}
}

// readOnly makes a verb leave the store as it is.
func readOnly(o *lsm.Options) { o.ReadOnly = true }

// mustExist keeps a verb from making a store where there is none.
func mustExist(o *lsm.Options) { o.MustExist = true }
