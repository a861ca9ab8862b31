package style

import (
	"strconv"
	"strings"
)

// layer says what the packages of a directory and below it may import of the
// module, apart from each other and from internal packages that anybody may
// import. The first layer whose directory fits counts.
type layer struct {
	dir     string
	imports []string // a trailing slash: and everything below
}

// layers returns the import directions of the module, innermost first.
func layers() []layer {
	everything := []string{"arena", "arena/", "alloc", "alloc/", "vm", "vm/", "lsm", "lsm/"}
	return []layer{
		{"internal", nil},
		{"arena", nil},
		{"alloc/segregated", []string{"alloc", "arena"}},
		{"alloc/fit", []string{"alloc", "arena"}},
		{"alloc", []string{"arena", "arena/arenatest"}},
		{"vm", nil},
		{"lsm", []string{"arena", "alloc", "alloc/segregated"}},
		{"bench", everything},
		{"examples", append(everything, "bench/")},
		{"cmd", append(everything, "bench", "bench/", "examples/")},
	}
}

// Imports complains about imports against the direction of the layers, in
// files that are no tests, and about anybody but programs and measurements
// that imports examples or bench, tests included.
func Imports(t *Tree) []string {
	var wrong []string
	for _, f := range t.Files {
		for _, imp := range f.Syntax.Imports {
			path, err := strconv.Unquote(imp.Path.Value)
			if err != nil || !strings.HasPrefix(path, Module+"/") {
				continue
			}
			path = strings.TrimPrefix(path, Module+"/")
			if !mayImport(f, path) {
				wrong = append(wrong, t.at(f, imp.Pos(), "%s must not import %s", f.Dir, path))
			}
		}
	}
	return wrong
}

// mayImport reports whether f may import the package of directory path.
func mayImport(f *File, path string) bool {
	if strings.HasPrefix(path, "internal/") {
		return true
	}
	for _, l := range layers() {
		if !below(f.Dir, l.dir) {
			continue
		}
		if below(path, l.dir) && !siblings(f.Dir, path) {
			return true
		}
		if f.Test {
			// Tests may look around, but not at what is on top, except to read
			// traces.
			top := below(path, "examples") || below(path, "bench") || below(path, "cmd")
			return !top || path == "bench/trace" || matches(l, path)
		}
		return matches(l, path)
	}
	return false
}

func matches(l layer, path string) bool {
	for _, p := range l.imports {
		if p == path || strings.HasSuffix(p, "/") && strings.HasPrefix(path, p) {
			return true
		}
	}
	return false
}

// below reports whether path is dir or in it.
func below(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, dir+"/")
}

// siblings reports whether one of the two is a kind of allocator and the other
// is not in it: alloc is imported by them and imports none of them.
func siblings(from, to string) bool {
	for _, kind := range []string{"alloc/segregated", "alloc/fit"} {
		if below(to, kind) && !below(from, kind) {
			return true
		}
	}
	return false
}
