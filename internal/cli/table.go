package cli

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// A Table is text in aligned columns: the first column to the left, numbers to
// the right.
type Table struct {
	Head []string
	Rows [][]string
	Left int // how many leading columns are aligned to the left; 0 means 1
}

// Add appends a row of values, formatted with %v; float64 values get two
// decimals.
func (t *Table) Add(cells ...any) {
	row := make([]string, len(cells))
	for i, c := range cells {
		if f, ok := c.(float64); ok {
			row[i] = fmt.Sprintf("%.2f", f)
		} else {
			row[i] = fmt.Sprint(c)
		}
	}
	t.Rows = append(t.Rows, row)
}

// WriteTo writes the table with a rule under its head.
func (t *Table) WriteTo(w io.Writer) (int64, error) {
	width := make([]int, len(t.Head))
	for _, row := range append([][]string{t.Head}, t.Rows...) {
		for i, c := range row {
			if i < len(width) {
				width[i] = max(width[i], utf8.RuneCountInString(c))
			}
		}
	}
	var sb strings.Builder
	t.row(&sb, t.Head, width)
	total := 0
	for _, n := range width {
		total += n + 2
	}
	sb.WriteString(strings.Repeat("─", max(total-2, 0)) + "\n")
	for _, row := range t.Rows {
		t.row(&sb, row, width)
	}
	n, err := io.WriteString(w, sb.String())
	return int64(n), err
}

func (t *Table) row(sb *strings.Builder, cells []string, width []int) {
	var line strings.Builder
	for i, c := range cells[:min(len(cells), len(width))] {
		pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(c))
		if i > 0 {
			line.WriteString("  ")
		}
		if i < max(t.Left, 1) {
			line.WriteString(c + pad)
		} else {
			line.WriteString(pad + c)
		}
	}
	sb.WriteString(strings.TrimRight(line.String(), " ") + "\n")
}

// Bytes formats n bytes for people: "312 B", "4.0 KiB", "8.22 MiB".
func Bytes(n int64) string {
	const kib, mib, gib = 1 << 10, 1 << 20, 1 << 30
	switch a := max(n, -n); {
	case a < kib:
		return fmt.Sprintf("%d B", n)
	case a < mib:
		return fmt.Sprintf("%.1f KiB", float64(n)/kib)
	case a < gib:
		return fmt.Sprintf("%.2f MiB", float64(n)/mib)
	default:
		return fmt.Sprintf("%.2f GiB", float64(n)/gib)
	}
}

// Count formats n with thin groups of three digits: "938 635".
func Count(n int64) string {
	s := fmt.Sprint(max(n, -n))
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + " " + s[i:]
	}
	if n < 0 {
		s = "-" + s
	}
	return s
}
