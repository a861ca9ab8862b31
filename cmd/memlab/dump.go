package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/memlab-go/memlab/internal/cli"
	"github.com/memlab-go/memlab/vm/pagetable"
)

const dumpHelp = `
Writes page tables, as hardware reads them, to a directory: case.json and the
memory that holds the tables. case.json also lists accesses, each with the
physical address or the exact fault that it must give, and every mapping. An
emulated or a real MMU can be held against it.

The seed varies the layout: page sizes, rights, address spaces and their tags,
fences, where the tables lie, the processor's switches. Even seeds make only
accesses that succeed, and list the memory that they leave behind (accessed and
dirty bits); odd seeds make faults of every kind as well.`

const dumpExample = `
memlab dump -format sv39 -seed 1 -o case-sv39
memlab dump -format x86-64-4level+npt -seed 2 -o case-npt`

// dumpFormats are the single-stage formats by the names of case files.
func dumpFormats() []*pagetable.Format {
	return []*pagetable.Format{
		&pagetable.X86_64, &pagetable.X86_64_5Level, &pagetable.X86, &pagetable.X86PAE,
		&pagetable.Sv32, &pagetable.Sv39, &pagetable.Sv48, &pagetable.Sv57, &pagetable.ARM64_4K,
	}
}

// dumpPairs are the two-stage formats.
func dumpPairs() map[string][2]*pagetable.Format {
	return map[string][2]*pagetable.Format{
		"sv39+sv39x4":       {&pagetable.Sv39, &pagetable.Sv39x4},
		"sv48+sv48x4":       {&pagetable.Sv48, &pagetable.Sv48x4},
		"sv57+sv57x4":       {&pagetable.Sv57, &pagetable.Sv57x4},
		"sv39+sv48x4":       {&pagetable.Sv39, &pagetable.Sv48x4},
		"x86-64-4level+npt": {&pagetable.X86_64, &pagetable.NPT},
	}
}

func dumpNames() string {
	var names []string
	for _, f := range dumpFormats() {
		names = append(names, f.Name)
	}
	return strings.Join(append(names, "sv39+sv39x4", "sv48+sv48x4", "sv57+sv57x4", "sv39+sv48x4", "x86-64-4level+npt"), ", ")
}

// runDump is the command.
func runDump(_ context.Context, e *env, args []string) int {
	fs := cli.Flags(e.err, "dump", "", dumpHelp, dumpExample)
	format := fs.String("format", "", "the page-table `format`: "+dumpNames())
	seed := fs.Uint64("seed", 1, "what the layout is made from")
	dir := fs.String("o", "", "`directory` to write; made if it is not there")
	if code, ok := cli.Parse(fs, args); !ok {
		return code
	}
	switch {
	case fs.NArg() != 0:
		complain(e, "dump", badUsage("unexpected operand %q", fs.Arg(0)))
		return exitUsage
	case *dir == "" || *format == "":
		complain(e, "dump", badUsage("want -format F -o DIR"))
		return exitUsage
	}
	c, err := makeCase(*format, *seed)
	if err != nil {
		fmt.Fprintf(e.err, "memlab dump: %v\n", err)
		return exitUsage
	}
	if err := c.write(*dir); err != nil {
		fmt.Fprintf(e.err, "memlab dump: %v\n", err)
		return exitFound
	}
	fmt.Fprintf(e.out, "%s: %s, %d queries, %d mappings, %d memory files\n", *dir, c.Format, len(c.Queries), len(c.Mappings)+len(c.GMappings), len(c.files))
	return exitOK
}

// makeCase builds the case of a format and a seed.
func makeCase(format string, seed uint64) (*dumpCase, error) {
	for _, f := range dumpFormats() {
		if f.Name == format {
			return newDumper(f, seed).build()
		}
	}
	if p, ok := dumpPairs()[format]; ok {
		return newNestedDumper(format, p[0], p[1], seed).build()
	}
	return nil, fmt.Errorf("unknown format %q; known are %s", format, dumpNames())
}

// write writes the memory files, then case.json, so that a directory with a
// case.json is complete.
func (c *dumpCase) write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, b := range c.files {
		err := cli.WriteFile(filepath.Join(dir, name), func(w io.Writer) error {
			_, err := w.Write(b)
			return err
		})
		if err != nil {
			return err
		}
	}
	return cli.WriteFile(filepath.Join(dir, "case.json"), func(w io.Writer) error { return cli.WriteJSON(w, c) })
}
