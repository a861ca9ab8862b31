// Package faults keeps the table of the faults that the project promises to
// survive, and finds the tests that hold them. rows.txt lists the rows.
package faults

import (
	"bufio"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A Row is one fault.
type Row struct {
	ID    string // "A10"
	Owner string // the milestone that owes its test
	Due   bool   // the milestone is complete: the test has to be there
	Title string
}

var (
	idPattern   = regexp.MustCompile(`^[ABC]\d\d$`)
	testPattern = regexp.MustCompile(`^([ABC]\d\d)_[a-z0-9_]+$`)
)

// owners returns the milestones in their order.
func owners() []string { return []string{"foundation", "segregated", "mmu", "spaces", "store"} }

// ParseRows reads a table of rows. Empty lines and lines that begin with # are
// skipped. An error names the line.
func ParseRows(r io.Reader) ([]Row, error) {
	var rows []Row
	seen := map[string]bool{}
	sc := bufio.NewScanner(r)
	for n := 1; sc.Scan(); n++ {
		line := strings.TrimSpace(sc.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		f := strings.Fields(line)
		switch {
		case len(f) < 4:
			return nil, fmt.Errorf("line %d: want id, owner, yes or no, title", n)
		case !idPattern.MatchString(f[0]):
			return nil, fmt.Errorf("line %d: bad id %q", n, f[0])
		case seen[f[0]]:
			return nil, fmt.Errorf("line %d: %s is there twice", n, f[0])
		case !slices.Contains(owners(), f[1]):
			return nil, fmt.Errorf("line %d: unknown owner %q", n, f[1])
		case f[2] != "yes" && f[2] != "no":
			return nil, fmt.Errorf("line %d: %q is neither yes nor no", n, f[2])
		}
		seen[f[0]] = true
		rows = append(rows, Row{ID: f[0], Owner: f[1], Due: f[2] == "yes", Title: strings.Join(f[3:], " ")})
	}
	return rows, sc.Err()
}

// A Subtest is a test that names a row.
type Subtest struct {
	ID   string // "A10"
	Name string // "A10_double_free"
	Pos  string // "alloc/fit/fault_test.go:12"
}

// Find parses the test files below root and returns the subtests: the string
// literals of the form A10_double_free inside functions whose name begins with
// TestFault. Directories named testdata, and those that begin with a dot, are
// skipped.
func Find(root string) ([]Subtest, error) {
	var found []Subtest
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != root && (d.Name() == "testdata" || d.Name()[0] == '.') {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(d.Name(), "_test.go") {
			return nil
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		found = append(found, inFile(fset, file, filepath.ToSlash(rel))...)
		return nil
	})
	return found, err
}

// inFile returns the subtests of one file.
func inFile(fset *token.FileSet, file *ast.File, name string) []Subtest {
	var found []Subtest
	for _, decl := range file.Decls {
		f, ok := decl.(*ast.FuncDecl)
		if !ok || f.Body == nil || f.Recv != nil || !strings.HasPrefix(f.Name.Name, "TestFault") {
			continue
		}
		ast.Inspect(f.Body, func(n ast.Node) bool {
			lit, ok := n.(*ast.BasicLit)
			if !ok || lit.Kind != token.STRING {
				return true
			}
			s, err := strconv.Unquote(lit.Value)
			if m := testPattern.FindStringSubmatch(s); err == nil && m != nil {
				pos := fmt.Sprintf("%s:%d", name, fset.Position(lit.Pos()).Line)
				found = append(found, Subtest{ID: m[1], Name: s, Pos: pos})
			}
			return true
		})
	}
	return found
}

// Compare returns what is wrong: rows that are due and have no subtest, and
// subtests that name no row.
func Compare(rows []Row, tests []Subtest) []string {
	var wrong []string
	have := map[string]bool{}
	for _, s := range tests {
		have[s.ID] = true
	}
	known := map[string]bool{}
	for _, r := range rows {
		known[r.ID] = true
		if r.Due && !have[r.ID] {
			wrong = append(wrong, fmt.Sprintf("%s (%s) is due from %s and no TestFault has a subtest %s_…", r.ID, r.Title, r.Owner, r.ID))
		}
	}
	for _, s := range tests {
		if !known[s.ID] {
			wrong = append(wrong, fmt.Sprintf("%s: subtest %s names no row", s.Pos, s.Name))
		}
	}
	return wrong
}
