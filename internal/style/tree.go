package style

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"
)

// Module is the import path of the module.
const Module = "github.com/memlab-go/memlab"

// A Tree is the parsed source of a module.
type Tree struct {
	Fset   *token.FileSet
	Files  []*File
	Assets []Asset
}

// A File is one Go file.
type File struct {
	Path   string // relative to the root, with slashes
	Dir    string // the same of its directory, "." for the root
	Name   string // base name
	Test   bool   // it ends in _test.go
	Syntax *ast.File
}

// An Asset is a file that a browser may be given.
type Asset struct {
	Path, Text string
}

// Load parses the Go files and reads the assets below root. Nested modules,
// testdata and directories that begin with a dot are left out.
func Load(root string) (*Tree, error) {
	t := &Tree{Fset: token.NewFileSet()}
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			if rel != "." && (d.Name() == "testdata" || d.Name()[0] == '.' || isModule(p)) {
				return filepath.SkipDir
			}
			return nil
		}
		return t.add(p, rel)
	})
	return t, err
}

// isModule reports whether dir is the root of a module.
func isModule(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil
}

// add takes one file into the tree.
func (t *Tree) add(file, rel string) error {
	switch path.Ext(rel) {
	case ".go":
		syntax, err := parser.ParseFile(t.Fset, file, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		t.Files = append(t.Files, &File{
			Path: rel, Dir: path.Dir(rel), Name: path.Base(rel),
			Test: strings.HasSuffix(rel, "_test.go"), Syntax: syntax,
		})
	case ".html", ".svg", ".css", ".js", ".tmpl", ".gohtml":
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		t.Assets = append(t.Assets, Asset{rel, string(text)})
	}
	return nil
}

// at formats a complaint about a place in f.
func (t *Tree) at(f *File, pos token.Pos, format string, args ...any) string {
	return fmt.Sprintf("%s:%d: ", f.Path, t.Fset.Position(pos).Line) + fmt.Sprintf(format, args...)
}

// packages returns the directories that hold Go files that are no tests, with
// those files, in order.
func (t *Tree) packages() (dirs []string, files map[string][]*File) {
	files = map[string][]*File{}
	for _, f := range t.Files {
		if !f.Test {
			files[f.Dir] = append(files[f.Dir], f)
		}
	}
	for dir := range files {
		dirs = append(dirs, dir)
	}
	sort.Strings(dirs)
	return dirs, files
}

// isInternal reports whether dir is below a directory named internal.
func isInternal(dir string) bool {
	return dir == "internal" || strings.HasPrefix(dir, "internal/") || strings.Contains(dir, "/internal/") ||
		strings.HasSuffix(dir, "/internal")
}
