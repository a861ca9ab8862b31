package cli

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
)

// Flags makes the flag set of one command. Its help text is "Usage: memlab NAME
// OPERANDS", the description, the flags with their defaults, and an example.
func Flags(w io.Writer, name, operands, description, example string) *flag.FlagSet {
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(w)
	fs.Usage = func() {
		usage := strings.TrimSpace(fmt.Sprintf("Usage: memlab %s [flags] %s", name, operands))
		fmt.Fprintf(w, "%s\n\n%s\n\nFlags:\n", usage, strings.TrimSpace(description))
		fs.PrintDefaults()
		fmt.Fprintf(w, "\nExample:\n  %s\n", strings.ReplaceAll(strings.TrimSpace(example), "\n", "\n  "))
	}
	return fs
}

// Parse parses args and says whether the command should go on. If not, code is
// what to exit with: 0 after -h, 2 after a bad flag, which fs has reported.
func Parse(fs *flag.FlagSet, args []string) (code int, ok bool) {
	err := fs.Parse(args)
	switch {
	case err == nil:
		return 0, true
	case errors.Is(err, flag.ErrHelp):
		return 0, false
	default:
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
