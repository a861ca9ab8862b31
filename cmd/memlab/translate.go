package main

import (
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/memlab-go/memlab/internal/cli"
	"github.com/memlab-go/memlab/vm"
	"github.com/memlab-go/memlab/vm/pagetable"
)

const translateHelp = `
A worksheet: page tables in memory, and addresses to translate by hand. With
-answers every walk is drawn, entry by entry: bit fields, table, flags, and the
physical address or the exact fault. -va translates an address of your own, -html
writes a page that steps through the walks with the arrow keys.

With -cases FILE -json the cases of a JSON file (an array, as OSTEP's simulators
give them: base and limit, segments, a linear table, a two-level table) are
answered; which kind a case is, its fields say.`

const translateExample = `
memlab translate -format tiny -seed 3
memlab translate -format sv39 -seed 3 -answers
memlab translate -format x86-64-4level -seed 1 -answers -html walk.html
memlab translate -cases linear.json -json`

// translateFlags is the command line.
type translateFlags struct {
	format, cases, html string
	va, access          string
	seed                uint64
	count               int
	answers, json       bool
}

func (f *translateFlags) define(fs *flag.FlagSet) {
	fs.StringVar(&f.format, "format", "tiny", "the page-table `format`: tiny, "+dumpNames())
	fs.Uint64Var(&f.seed, "seed", 1, "what tables and addresses are made from")
	fs.IntVar(&f.count, "n", 6, "number of addresses")
	fs.BoolVar(&f.answers, "answers", false, "draw the walks")
	fs.StringVar(&f.va, "va", "", "translate this `address` instead of drawn ones")
	fs.StringVar(&f.access, "access", "ru", "with -va: `access` r, w or x, and u for user mode")
	fs.StringVar(&f.html, "html", "", "write the walks to this `file`, to be stepped through")
	fs.StringVar(&f.cases, "cases", "", "answer the cases of this JSON `file` (needs -json)")
	fs.BoolVar(&f.json, "json", false, "write JSON (memlab/translate/v1; with -cases a bare array)")
}

// runTranslate is the command: exit 1 for files that cannot be read or written,
// 2 for a command line that makes no sense.
func runTranslate(_ context.Context, e *env, args []string) int {
	var f translateFlags
	fs := cli.Flags(e.err, "translate", "", translateHelp, translateExample)
	f.define(fs)
	if code, ok := cli.Parse(fs, args); !ok {
		return code
	}
	err := f.check(fs)
	if err == nil {
		err = f.run(e)
	}
	if err != nil {
		complain(e, "translate", err)
	}
	return exitCode(err)
}

// check says what makes no sense on the command line.
func (f *translateFlags) check(fs *flag.FlagSet) error {
	switch {
	case fs.NArg() != 0:
		return badUsage("unexpected operand %q", fs.Arg(0))
	case f.cases != "" && !f.json:
		return badUsage("-cases needs -json")
	case f.count < 1 || f.count > 1000:
		return badUsage("-n %d: want 1 to 1000", f.count)
	}
	set := given(fs)
	var errs []error
	if f.cases != "" {
		errs = append(errs, useless(set, "with -cases, which says all itself", "format", "seed", "n", "answers", "va", "access", "html"))
	}
	if f.va != "" {
		errs = append(errs, useless(set, "with -va", "n"))
	} else {
		errs = append(errs, useless(set, "without -va", "access"))
	}
	return cmp.Or(append(errs, checkHTML(f.html))...)
}

// run answers cases or makes a worksheet.
func (f *translateFlags) run(e *env) error {
	if f.cases != "" {
		return answerTranslateCases(e.out, f.cases)
	}
	sheet, err := newSheet(f.format, f.seed, f.count)
	if err == nil && f.va != "" {
		err = sheet.ask(f.va, f.access)
	}
	if err != nil {
		return usageError{err}
	}
	if f.html != "" {
		if err := cli.WriteFile(f.html, sheet.html); err != nil {
			return err
		}
	}
	if f.json {
		return sheet.json(e.out, f.answers)
	}
	return sheet.text(e.out, f.answers)
}

// answerTranslateCases writes the answers to the cases of the file as one array.
func answerTranslateCases(out io.Writer, name string) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	answers, err := solveTranslateCases(file)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return json.NewEncoder(out).Encode(answers)
}

// json writes the worksheet for programs.
func (s *sheet) json(out io.Writer, answers bool) error {
	type question struct {
		VA     hexa         `json:"va"`
		Access string       `json:"access"`
		Answer *dumpOutcome `json:"answer,omitempty"`
		Refs   int          `json:"refs,omitempty"`
	}
	page := struct {
		Schema    string     `json:"schema"`
		Format    string     `json:"format"`
		Seed      uint64     `json:"seed"`
		Root      hexa       `json:"root"`
		Tables    []sheetRow `json:"tables"`
		Questions []question `json:"questions"`
	}{Schema: "memlab/translate/v1", Format: s.name, Seed: s.seed, Root: hexa(s.root), Tables: s.rows}
	for _, tr := range s.walks {
		q := question{VA: hexa(tr.VA), Access: tr.Access.String()}
		if answers {
			o := outcomeOf(tr.Entry.Addr(tr.VA), tr.Fault)
			q.Answer, q.Refs = &o, len(tr.Steps)
		}
		page.Questions = append(page.Questions, q)
	}
	return cli.WriteJSON(out, page)
}

// text writes the worksheet for people.
func (s *sheet) text(out io.Writer, answers bool) error {
	p := &printer{w: out}
	p.f("%s   (seed %d)\n\n%s\n", s.title, s.seed, s.ruler)
	p.f("The root is at %v. Entries of the tables that are not zero:\n\n", s.root)
	last := hexa(0)
	for i, r := range s.rows {
		if i == 0 || r.Table != last {
			p.f("  table %v\n", vm.PhysAddr(r.Table))
			last = r.Table
		}
		p.f("    [%#5x]  %#0*x   %s\n", r.Index, s.width, uint64(r.PTE), r.Fields)
	}
	p.f("\nTranslate. Give the physical address, or the fault and the entry that causes it.\n\n")
	for i, tr := range s.walks {
		if !answers {
			p.f("%3d. %-20v %v\n", i+1, tr.VA, tr.Access)
			continue
		}
		p.f("%3d. %v\n", i+1, tr)
	}
	if !answers {
		p.f("\n(-answers draws the walks.)\n")
	}
	return p.err
}

// printer keeps the first error of a series of writes.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) f(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}

// sheetFormat finds the format of a worksheet by name: one of a single stage, or
// the pair of two.
func sheetFormat(name string) (first, second *pagetable.Format, err error) {
	for _, f := range append(dumpFormats(), &pagetable.Tiny) {
		if f.Name == name {
			return f, nil, nil
		}
	}
	if p, ok := dumpPairs()[name]; ok {
		return p[0], p[1], nil
	}
	return nil, nil, fmt.Errorf("unknown format %q; known are tiny, %s", name, dumpNames())
}
