package style

import (
	"go/ast"
	"go/token"
	"strings"
)

// State complains about variables of packages that can change: variables
// without a value, variables that are assigned to, counted or have their
// address taken, and variables of kinds that exist to change (maps made empty,
// channels, locks, atomics). What remains are errors, compiled tables, patterns
// and embedded files. Test files are free.
func State(t *Tree) []string {
	var wrong []string
	dirs, files := t.packages()
	for _, dir := range dirs {
		vars := map[string]bool{}
		for _, f := range files[dir] {
			for _, decl := range f.Syntax.Decls {
				d, ok := decl.(*ast.GenDecl)
				if !ok || d.Tok != token.VAR {
					continue
				}
				for _, spec := range d.Specs {
					wrong = append(wrong, t.varSpec(f, d, spec.(*ast.ValueSpec), vars)...)
				}
			}
		}
		for _, f := range files[dir] {
			wrong = append(wrong, t.changes(f, vars)...)
		}
	}
	return wrong
}

// varSpec checks one declaration of variables and adds their names to vars.
func (t *Tree) varSpec(f *File, d *ast.GenDecl, s *ast.ValueSpec, vars map[string]bool) []string {
	var wrong []string
	embedded := embeds(d.Doc) || embeds(s.Doc)
	for i, name := range s.Names {
		if name.Name == "_" {
			continue
		}
		vars[name.Name] = true
		switch {
		case embedded:
		case len(s.Values) == 0:
			wrong = append(wrong, t.at(f, name.Pos(), "variable %s has no value: it is there to change", name.Name))
		case i < len(s.Values) && madeToChange(s.Values[i]):
			wrong = append(wrong, t.at(f, name.Pos(), "variable %s is of a kind that is there to change", name.Name))
		}
	}
	return wrong
}

func embeds(doc *ast.CommentGroup) bool {
	if doc == nil {
		return false
	}
	for _, c := range doc.List {
		if strings.HasPrefix(c.Text, "//go:embed ") {
			return true
		}
	}
	return false
}

// madeToChange reports whether v is make(…), new(…), or a literal of sync or
// atomic.
func madeToChange(v ast.Expr) bool {
	if u, ok := v.(*ast.UnaryExpr); ok && u.Op == token.AND {
		v = u.X
	}
	switch e := v.(type) {
	case *ast.CallExpr:
		fn, ok := e.Fun.(*ast.Ident)
		return ok && (fn.Name == "make" || fn.Name == "new")
	case *ast.CompositeLit:
		sel, ok := e.Type.(*ast.SelectorExpr)
		if !ok {
			return false
		}
		pkg, ok := sel.X.(*ast.Ident)
		return ok && (pkg.Name == "sync" || pkg.Name == "atomic")
	}
	return false
}

// changes finds assignments to the variables of the package in f.
func (t *Tree) changes(f *File, vars map[string]bool) []string {
	var wrong []string
	check := func(x ast.Expr, how string) {
		if id := root(x); id != nil && vars[id.Name] && isPackageLevel(f, id) {
			wrong = append(wrong, t.at(f, id.Pos(), "variable %s of the package is %s", id.Name, how))
		}
	}
	ast.Inspect(f.Syntax, func(n ast.Node) bool {
		switch s := n.(type) {
		case *ast.AssignStmt:
			for _, x := range s.Lhs {
				if s.Tok != token.DEFINE {
					check(x, "assigned to")
				}
			}
		case *ast.IncDecStmt:
			check(s.X, "counted")
		case *ast.UnaryExpr:
			if s.Op == token.AND {
				check(s.X, "given away by its address")
			}
		case *ast.CallExpr:
			if fn, ok := s.Fun.(*ast.Ident); ok && (fn.Name == "clear" || fn.Name == "delete") && len(s.Args) > 0 {
				check(s.Args[0], "changed")
			}
		}
		return true
	})
	return wrong
}

// root returns the variable that x is a part of.
func root(x ast.Expr) *ast.Ident {
	for {
		switch e := x.(type) {
		case *ast.Ident:
			return e
		case *ast.IndexExpr:
			x = e.X
		case *ast.SelectorExpr:
			x = e.X
		case *ast.StarExpr:
			x = e.X
		case *ast.ParenExpr:
			x = e.X
		case *ast.SliceExpr:
			x = e.X
		default:
			return nil
		}
	}
}

// isPackageLevel reports whether id means the variable of the package and not
// one of the same name in a function.
func isPackageLevel(f *File, id *ast.Ident) bool {
	if id.Obj == nil {
		return true // declared in another file, if at all
	}
	return f.Syntax.Scope.Lookup(id.Name) == id.Obj
}
