package corpus

import (
	"bytes"
	"embed"
	"fmt"
	"strings"

	"github.com/memlab-go/memlab/bench/trace"
)

//go:embed data/*.mlt
var data embed.FS

// An Entry describes one trace.
type Entry struct {
	Name  string
	About string // the program and what it did
	Cut   bool   // the recording was cut before the program ended: the trace is a prefix
}

// Entries lists the traces in the order of reports.
func Entries() []Entry {
	return []Entry{
		{"git-log", "git log -p -M", false},
		{"sqlite-sql", "the sqlite3 shell", false},
		{"cc1plus-stl", "GCC 12 compiling C++", false},
		{"python-json", "CPython without its pool allocator: JSON, regular expressions, pickle", true},
		{"xmllint-xpath", "libxml2: XPath over a document", false},
		{"convert-resize", "ImageMagick: few large blocks", false},
		{"python-store", "CPython: an object store whose sizes shift in four phases", true},
	}
}

// Names returns the names of the traces.
func Names() []string {
	var out []string
	for _, e := range Entries() {
		out = append(out, e.Name)
	}
	return out
}

// Open decodes the trace called name. A recording that was cut is marked as a
// prefix of unknown length. The error lists the known names.
func Open(name string) (*trace.Trace, error) {
	for _, e := range Entries() {
		if e.Name != name {
			continue
		}
		b, err := data.ReadFile("data/" + name + ".mlt")
		if err != nil {
			return nil, err
		}
		t, err := trace.Read(bytes.NewReader(b), name, nil)
		if err != nil {
			return nil, err
		}
		t.Prefix = e.Cut
		return t, nil
	}
	return nil, fmt.Errorf("no embedded trace %q; there are %s", name, strings.Join(Names(), ", "))
}
