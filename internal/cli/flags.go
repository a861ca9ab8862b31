package cli

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
)

// Stderr is the standard error of a command, and knows the standard output
// beside it: help that was asked for goes there.
type Stderr struct {
	io.Writer
	Out io.Writer
}

// Flags makes the flag set of one command. Its help text is "Usage: memlab NAME
// OPERANDS", the description, the flags with their defaults, and an example.
// Errors go to w, and so does the help unless w is a [Stderr].
func Flags(w io.Writer, name, operands, description, example string) *flag.FlagSet {
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(w)
	fs.Usage = func() {
		w := fs.Output()
		usage := strings.TrimSpace(fmt.Sprintf("Usage: memlab %s [flags] %s", name, operands))
		fmt.Fprintf(w, "%s\n\n%s\n\nFlags:\n", usage, strings.TrimSpace(description))
		fs.PrintDefaults()
		fmt.Fprintf(w, "\nExample:\n  %s\n", strings.ReplaceAll(strings.TrimSpace(example), "\n", "\n  "))
	}
	return fs
}

// Parse parses args and says whether the command should go on. If not, code is
// what to exit with: 0 after -h, which prints the help, 2 after a bad flag, which
// is reported in one line.
func Parse(fs *flag.FlagSet, args []string) (code int, ok bool) {
	w, usage := fs.Output(), fs.Usage
	fs.SetOutput(io.Discard) // package flag prints the help after every error
	fs.Usage = func() {}
	err := fs.Parse(args)
	fs.SetOutput(w)
	fs.Usage = usage
	switch {
	case err == nil:
		return 0, true
	case errors.Is(err, flag.ErrHelp):
		if s, ok := w.(Stderr); ok {
			fs.SetOutput(s.Out)
		}
		usage()
		fs.SetOutput(w)
		return 0, false
	default:
		fmt.Fprintf(w, "memlab %s: %v (see memlab %s -h)\n", fs.Name(), err, fs.Name())
		return 2, false
	}
}

// List splits a comma-separated flag value; empty parts are dropped.
func List(s string) []string {
	var out []string
	for part := range strings.SplitSeq(s, ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}
