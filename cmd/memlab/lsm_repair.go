package main

import (
	"context"
	"fmt"

	"github.com/memlab-go/memlab/internal/cli"
	"github.com/memlab-go/memlab/lsm"
)

// lsmRepairSchema names the JSON of repair.
const lsmRepairSchema = "memlab/lsm-repair/v1"

func runLsmRepair(_ context.Context, e *env, args []string) int {
	f := newLsmFlags(e, "repair", "DIR", `
Makes a store that opens again of what can still be read: tables and logs, with
or without CURRENT and MANIFEST. Damaged files move to the directory lost in it.
Exit code 1 if anything could not be read.`,
		"memlab lsm repair /tmp/db").withJSON(lsmRepairSchema)
	operands, code, ok := f.parse(e, args, 1, 1)
	if !ok {
		return code
	}
	o, err := f.options()
	if err != nil {
		return f.usage(e, err)
	}
	report, err := lsm.Repair(operands[0], o)
	if err != nil {
		fmt.Fprintf(e.err, "memlab lsm repair: %v\n", err)
		return exitFound
	}
	if f.json {
		err = cli.WriteJSON(e.out, struct {
			Schema string `json:"schema"`
			Dir    string `json:"dir"`
			lsm.RepairReport
		}{lsmRepairSchema, operands[0], report})
	} else {
		err = printLsmRepair(e, &report)
	}
	if err != nil {
		fmt.Fprintf(e.err, "memlab lsm repair: %v\n", err)
	}
	if err != nil || report.Damaged() {
		return exitFound
	}
	return exitOK
}

func printLsmRepair(e *env, r *lsm.RepairReport) error {
	if r.Hint != "" {
		fmt.Fprintf(e.out, "%s\n", r.Hint)
	}
	for _, t := range r.Tables {
		fmt.Fprintf(e.out, "%s  %d entries\n", t.Name, t.Entries)
		for _, d := range t.Damage {
			fmt.Fprintf(e.out, "  lost: %s\n", d)
		}
	}
	for _, l := range r.Logs {
		fmt.Fprintf(e.out, "%s  %d records\n", l.Name, l.Records)
		for _, d := range l.Damage {
			fmt.Fprintf(e.out, "  lost: %s\n", d)
		}
	}
	for _, name := range r.Lost {
		fmt.Fprintf(e.out, "moved to %s\n", name)
	}
	_, err := fmt.Fprintf(e.out, "%d keys in the repaired store\n", r.Entries)
	return err
}
