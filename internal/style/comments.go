package style

import (
	"go/ast"
	"go/token"
	"strings"
)

// Comments complains about exported names without a comment that begins with
// them, and about packages without a package comment; a package that others
// may import keeps it in doc.go, and nothing else there.
func Comments(t *Tree) []string {
	var wrong []string
	dirs, files := t.packages()
	for _, dir := range dirs {
		wrong = append(wrong, t.packageComment(dir, files[dir])...)
		if files[dir][0].Syntax.Name.Name == "main" {
			continue
		}
		for _, f := range files[dir] {
			for _, decl := range f.Syntax.Decls {
				wrong = append(wrong, t.declComment(f, decl)...)
			}
		}
	}
	return wrong
}

// packageComment checks the comment of one package.
func (t *Tree) packageComment(dir string, files []*File) []string {
	name := files[0].Syntax.Name.Name
	want := "Package " + name + " "
	if name == "main" {
		want = "Command "
	}
	var wrong []string
	found := 0
	for _, f := range files {
		if f.Syntax.Doc == nil {
			continue
		}
		found++
		if !strings.HasPrefix(f.Syntax.Doc.Text(), want) {
			wrong = append(wrong, t.at(f, f.Syntax.Doc.Pos(), "the package comment should begin with %q", want))
		}
		public := name != "main" && !isInternal(dir)
		if public && f.Name != "doc.go" {
			wrong = append(wrong, t.at(f, f.Syntax.Doc.Pos(), "the package comment belongs in doc.go"))
		}
	}
	for _, f := range files {
		if f.Name == "doc.go" && len(f.Syntax.Decls) > 0 {
			wrong = append(wrong, t.at(f, f.Syntax.Decls[0].Pos(), "doc.go is for the package comment only"))
		}
	}
	if found != 1 {
		wrong = append(wrong, t.at(files[0], files[0].Syntax.Pos(), "package %s has %d package comments, want 1", dir, found))
	}
	return wrong
}

// declComment checks the comments of one declaration.
func (t *Tree) declComment(f *File, decl ast.Decl) []string {
	var wrong []string
	complain := func(pos token.Pos, name string) {
		wrong = append(wrong, t.at(f, pos, "exported %s has no comment that begins with its name", name))
	}
	switch d := decl.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && exportedReceiver(d) && !beginsWith(d.Doc, d.Name.Name) {
			complain(d.Pos(), d.Name.Name)
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch s := spec.(type) {
			case *ast.TypeSpec:
				doc := s.Doc
				if doc == nil && !d.Lparen.IsValid() {
					doc = d.Doc
				}
				if s.Name.IsExported() && !beginsWith(doc, s.Name.Name) {
					complain(s.Pos(), s.Name.Name)
				}
			case *ast.ValueSpec:
				for _, name := range s.Names {
					if name.IsExported() && !valueComment(d, s, name.Name) {
						complain(name.Pos(), name.Name)
					}
				}
			}
		}
	}
	return wrong
}

// valueComment reports whether a constant or variable is documented: by its
// own comment, at the end of its line, or by the comment of its group.
func valueComment(d *ast.GenDecl, s *ast.ValueSpec, name string) bool {
	if !d.Lparen.IsValid() {
		return beginsWith(d.Doc, name)
	}
	return s.Doc != nil || s.Comment != nil || d.Doc != nil
}

// exportedReceiver reports whether d is a function, or a method of an exported
// type.
func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	x := d.Recv.List[0].Type
	for {
		switch e := x.(type) {
		case *ast.StarExpr:
			x = e.X
		case *ast.IndexExpr:
			x = e.X
		case *ast.IndexListExpr:
			x = e.X
		case *ast.Ident:
			return e.IsExported()
		default:
			return true
		}
	}
}

// beginsWith reports whether the comment begins with name, after an article.
func beginsWith(doc *ast.CommentGroup, name string) bool {
	if doc == nil {
		return false
	}
	words := strings.Fields(doc.Text())
	if len(words) > 1 && (words[0] == "A" || words[0] == "An" || words[0] == "The") {
		words = words[1:]
	}
	return len(words) > 0 && strings.TrimRight(words[0], ".,:;") == name
}
