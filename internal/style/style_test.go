package style

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

type rule struct {
	name string
	run  func(*Tree) []string
}

func rules() []rule {
	return []rule{
		{"Forbidden", Forbidden}, {"Unsafe", Unsafe}, {"Comments", Comments},
		{"Imports", Imports}, {"State", State}, {"Remote", Remote},
	}
}

// TestModule runs every rule over the whole module.
func TestModule(t *testing.T) {
	tree, err := Load("../..")
	require.NoError(t, err)
	require.Greater(t, len(tree.Files), 50, "the tree was not found")
	for _, r := range rules() {
		t.Run(r.name, func(t *testing.T) {
			for _, wrong := range r.run(tree) {
				t.Error(wrong)
			}
		})
	}
}

// TestRules breaks each rule, and holds what a rule lets pass.
func TestRules(t *testing.T) {
	tests := []struct {
		name, rule, file, text string
		want                   []string // parts of the complaints, in order
	}{
		{"cgo", "Forbidden", "a/a.go", "package a\nimport \"C\"\n", []string{"a/a.go:2: cgo"}},
		{"linkname", "Forbidden", "a/a.go", "package a\n\n//go:linkname f runtime.f\nfunc f()\n", []string{"a.go:3: go:linkname"}},
		{"init", "Forbidden", "a/a.go", "package a\nfunc init() {}\nfunc (T) init() {}\n", []string{"a.go:2: func init"}},
		{"unsafe elsewhere", "Unsafe", "a/a.go", "package a\nimport \"unsafe\"\nconst c = unsafe.Sizeof(0)\n", []string{"a.go:1: imports unsafe"}},
		{"unsafe in its file", "Unsafe", "a/a_unsafe_linux.go", "package a\nimport \"unsafe\"\nconst c = unsafe.Sizeof(0)\n", nil},
		{"unsafe in a test", "Unsafe", "a/a_unsafe_test.go", "package a\nimport \"unsafe\"\nconst c = unsafe.Sizeof(0)\n", nil},
		{"unsafe in a wrong test", "Unsafe", "a/unsafe_test.go", "package a\nimport \"unsafe\"\nconst c = unsafe.Sizeof(0)\n", []string{"imports unsafe"}},
		{"unsafe without a reason", "Unsafe", "a/a_unsafe.go",
			"package a\nimport \"unsafe\"\nfunc f(p *int) any { return unsafe.Pointer(p) }\n", []string{"a_unsafe.go:3: unsafe without"}},
		{"unsafe with a reason", "Unsafe", "a/a_unsafe.go",
			"package a\nimport \"unsafe\"\nfunc f(p *int) any {\n\t// SAFETY: a test.\n\treturn unsafe.Pointer(p)\n}\n", nil},
		{"no comment", "Comments", "a/doc.go", "// Package a is.\npackage a\n", nil},
		{"no package comment", "Comments", "a/doc.go", "package a\n", []string{"0 package comments"}},
		{"package comment elsewhere", "Comments", "a/a.go", "// Package a is.\npackage a\n", []string{"belongs in doc.go"}},
		{"package comment of an internal package", "Comments", "internal/a/a.go", "// Package a is.\npackage a\n", nil},
		{"wrong package comment", "Comments", "internal/a/a.go", "// This is a.\npackage a\n", []string{"should begin with \"Package a \""}},
		{"code in doc.go", "Comments", "a/doc.go", "// Package a is.\npackage a\nfunc f() {}\n", []string{"package comment only"}},
		{"command", "Comments", "cmd/a/a.go", "// Command a does.\npackage main\nfunc F() {}\n", nil},
		{"exported function", "Comments", "internal/a/a.go",
			"// Package a is.\npackage a\nfunc F() {}\n\n// Does G.\nfunc G() {}\n\n// H does.\nfunc H() {}\nfunc (t) I() {}\nfunc (*T[K]) J() {}\n",
			[]string{"exported F", "exported G", "exported J"}},
		{"exported type", "Comments", "internal/a/a.go",
			"// Package a is.\npackage a\n\n// An A is.\ntype A int\ntype B int\n\n// Both\ntype (\n\tC int\n\t// D is.\n\tD int\n)\n",
			[]string{"exported B", "exported C"}},
		{"exported values", "Comments", "internal/a/a.go",
			"// Package a is.\npackage a\n\n// All of them.\nconst (\n\tA = 1\n)\nconst (\n\tB = 1\n\tC = 2 // is two\n)\nvar D = 3\n\n// E is.\nvar E = 4\n",
			[]string{"exported B", "exported D"}},
		{"arena imports alloc", "Imports", "arena/a.go", "package a\nimport _ \"" + Module + "/alloc\"\n", []string{"arena must not import alloc"}},
		{"alloc imports arena", "Imports", "alloc/a.go", "package a\nimport _ \"" + Module + "/arena\"\n", nil},
		{"alloc imports fit", "Imports", "alloc/a.go", "package a\nimport _ \"" + Module + "/alloc/fit\"\n", []string{"alloc must not import alloc/fit"}},
		{"fit imports segregated", "Imports", "alloc/fit/a.go", "package a\nimport _ \"" + Module + "/alloc/segregated\"\n", []string{"must not"}},
		{"vm imports arena", "Imports", "vm/a.go", "package a\nimport _ \"" + Module + "/arena\"\n", []string{"vm must not import arena"}},
		{"pagetable imports vm", "Imports", "vm/pagetable/a.go", "package a\nimport _ \"" + Module + "/vm\"\n", nil},
		{"lsm imports fit", "Imports", "lsm/a.go", "package a\nimport _ \"" + Module + "/alloc/fit\"\n", []string{"must not"}},
		{"lsm imports segregated", "Imports", "lsm/x/a.go", "package a\nimport _ \"" + Module + "/alloc/segregated\"\n", nil},
		{"lsm imports bench", "Imports", "lsm/a_test.go", "package a\nimport _ \"" + Module + "/bench/replay\"\n", []string{"must not"}},
		{"a test looks around", "Imports", "vm/a_test.go", "package a\nimport _ \"" + Module + "/arena\"\n", nil},
		{"a test reads traces", "Imports", "vm/a_test.go", "package a\nimport _ \"" + Module + "/bench/trace\"\n", nil},
		{"cmd imports bench", "Imports", "cmd/memlab/a.go", "package a\nimport _ \"" + Module + "/bench/trace\"\n", nil},
		{"bench imports cmd", "Imports", "bench/a.go", "package a\nimport _ \"" + Module + "/cmd/memlab\"\n", []string{"must not"}},
		{"internal imports alloc", "Imports", "internal/a/a.go", "package a\nimport _ \"" + Module + "/alloc\"\n", []string{"must not"}},
		{"anybody imports internal", "Imports", "vm/a.go", "package a\nimport _ \"" + Module + "/internal/x\"\n", nil},
		{"variable without a value", "State", "a/a.go", "package a\nvar n int\n", []string{"a.go:2: variable n has no value"}},
		{"map made empty", "State", "a/a.go", "package a\nvar m = make(map[int]int)\nvar l = &sync.Mutex{}\nvar o = sync.Once{}\n",
			[]string{"variable m", "variable l", "variable o"}},
		{"error and table", "State", "a/a.go", "package a\nvar Err = errors.New(\"x\")\nvar t = [...]int{1, 2}\nvar _ I = T{}\n", nil},
		{"embedded file", "State", "a/a.go", "package a\n\n//go:embed x\nvar x string\n", nil},
		{"table that is changed", "State", "a/a.go",
			"package a\nvar t = [...]int{1, 2}\nvar u = 3\nfunc f() { t[0] = 1; u++; g(&u) }\nfunc h() { t := []int{1}; t[0] = 2 }\n",
			[]string{"t of the package is assigned to", "u of the package is counted", "u of the package is given away"}},
		{"a test has state", "State", "a/a_test.go", "package a\nvar n int\n", nil},
		{"page with a script", "Remote", "a/a.html", "<p>\n<script src=\"https://x/y.js\"></script>\n", []string{"a/a.html:2:"}},
		{"page with a picture", "Remote", "a/a.html", "<img src='//x/y.png'>", []string{"a.html:1"}},
		{"style sheet", "Remote", "a/a.css", "@import 'x';\nb { background: url(http://x/y) }\n", []string{"a.css:1", "a.css:2"}},
		{"namespace", "Remote", "a/a.svg", "<svg xmlns=\"http://www.w3.org/2000/svg\"><use href=\"#a\"/></svg>", nil},
		{"page in Go", "Remote", "a/a.go", "package a\nconst p = `<link href=\"https://x/y.css\">`\nconst q = \"<a href=\\\"http://x\\\">\"\n", []string{"a.go:2", "a.go:3"}},
		{"address in a comment", "Remote", "a/a.go", "package a\n\n// See href=\"https://x\".\nconst p = \"https://x\"\n", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, filepath.FromSlash(tt.file))
			require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
			require.NoError(t, os.WriteFile(path, []byte(tt.text), 0o644))
			tree, err := Load(dir)
			require.NoError(t, err)
			var got []string
			for _, r := range rules() {
				if r.name == tt.rule {
					got = r.run(tree)
				}
			}
			require.Len(t, got, len(tt.want), "%s", strings.Join(got, "\n"))
			for i, want := range tt.want {
				require.Contains(t, got[i], want)
			}
		})
	}
}

func TestLoadSkipsOtherModules(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"a.go": "package a", "b/go.mod": "module b", "b/b.go": "package b",
		"testdata/c.go": "package {", ".d/d.go": "package {", "e.html": "<p>",
	} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
	tree, err := Load(dir)
	require.NoError(t, err)
	require.Len(t, tree.Files, 1)
	require.Len(t, tree.Assets, 1)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "f.go"), []byte("package {"), 0o644))
	_, err = Load(dir)
	require.ErrorContains(t, err, "f.go:1")
}
