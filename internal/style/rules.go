package style

import (
	"go/ast"
	"go/token"
	"regexp"
	"strconv"
	"strings"
)

// Forbidden complains about cgo, go:linkname and init functions.
func Forbidden(t *Tree) []string {
	var wrong []string
	for _, f := range t.Files {
		for _, imp := range f.Syntax.Imports {
			if imp.Path.Value == `"C"` {
				wrong = append(wrong, t.at(f, imp.Pos(), "cgo"))
			}
		}
		for _, group := range f.Syntax.Comments {
			for _, c := range group.List {
				if strings.HasPrefix(c.Text, "//go:linkname") {
					wrong = append(wrong, t.at(f, c.Pos(), "go:linkname"))
				}
			}
		}
		for _, decl := range f.Syntax.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				wrong = append(wrong, t.at(f, fn.Pos(), "func init"))
			}
		}
	}
	return wrong
}

// unsafeFile matches the names of files that may import unsafe.
var unsafeFile = regexp.MustCompile(`_unsafe(_[a-z0-9]+)?(_test)?\.go$`)

// Unsafe complains about files that import unsafe without saying so in their
// name, and about functions that use it without a SAFETY comment.
func Unsafe(t *Tree) []string {
	var wrong []string
	for _, f := range t.Files {
		if !imports(f, "unsafe") {
			continue
		}
		if !unsafeFile.MatchString(f.Name) {
			wrong = append(wrong, t.at(f, f.Syntax.Pos(), "imports unsafe, but is not named *_unsafe*.go"))
		}
		for _, decl := range f.Syntax.Decls {
			pos := riskyUse(decl)
			if pos.IsValid() && !hasComment(f, decl, "SAFETY:") {
				wrong = append(wrong, t.at(f, pos, "unsafe without a SAFETY: comment in its declaration"))
			}
		}
	}
	return wrong
}

func imports(f *File, path string) bool {
	for _, imp := range f.Syntax.Imports {
		if imp.Path.Value == strconv.Quote(path) {
			return true
		}
	}
	return false
}

// riskyUse returns the first call or conversion of unsafe in decl other than
// those that ask for a size, an alignment or an offset.
func riskyUse(decl ast.Decl) (pos token.Pos) {
	ast.Inspect(decl, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		sel, ok := call.Fun.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		x, ok := sel.X.(*ast.Ident)
		if ok && x.Name == "unsafe" && !pos.IsValid() {
			switch sel.Sel.Name {
			case "Sizeof", "Alignof", "Offsetof":
			default:
				pos = sel.Pos()
			}
		}
		return true
	})
	return pos
}

// hasComment reports whether a comment in decl, or its doc comment, contains
// text.
func hasComment(f *File, decl ast.Decl, text string) bool {
	from := decl.Pos()
	if fn, ok := decl.(*ast.FuncDecl); ok && fn.Doc != nil {
		from = fn.Doc.Pos()
	} else if gen, ok := decl.(*ast.GenDecl); ok && gen.Doc != nil {
		from = gen.Doc.Pos()
	}
	for _, group := range f.Syntax.Comments {
		if group.Pos() >= from && group.End() <= decl.End() && strings.Contains(group.Text(), text) {
			return true
		}
	}
	return false
}

// remote matches what makes a browser load something from elsewhere.
var remote = regexp.MustCompile(`(?i)(\b(src|href|poster|data|action|srcset)\s*=\s*\\?["']?\s*(https?:)?//)` +
	`|(url\(\s*\\?["']?\s*(https?:)?//)|(@import\b)|(\b(fetch|import|WebSocket|EventSource)\(\s*\\?["'` + "`" + `](https?:|wss?:)?//)`)

// Remote complains about assets and strings in Go code that load something
// from elsewhere: pages have to work from a mail attachment. The names of XML
// namespaces are no loads.
func Remote(t *Tree) []string {
	var wrong []string
	for _, a := range t.Assets {
		for n, line := range strings.Split(a.Text, "\n") {
			if remote.MatchString(line) {
				wrong = append(wrong, a.Path+":"+strconv.Itoa(n+1)+": loads something remote: "+strings.TrimSpace(line))
			}
		}
	}
	for _, f := range t.Files {
		if f.Test {
			continue
		}
		ast.Inspect(f.Syntax, func(n ast.Node) bool {
			lit, ok := n.(*ast.BasicLit)
			if !ok || lit.Kind != token.STRING || f.Dir == "internal/style" {
				return true
			}
			if m := remote.FindString(lit.Value); m != "" {
				wrong = append(wrong, t.at(f, lit.Pos(), "loads something remote: %s", m))
			}
			return true
		})
	}
	return wrong
}
