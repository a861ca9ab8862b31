package pagetable

import (
	"fmt"
	"io"
	"strings"

	"github.com/memlab-go/memlab/vm"
)

// Ruler draws how the format cuts an address up: a line of bit numbers, a line of
// fields, and, if va is given, the fields' values in it.
func (f *Format) Ruler(va ...vm.VirtAddr) string {
	var top, mid, val strings.Builder
	cell := func(hi, lo int, name, value string) {
		bits := fmt.Sprintf("%d…%d", hi, lo)
		if hi == lo {
			bits = fmt.Sprint(hi)
		}
		w := max(len([]rune(bits)), len([]rune(name)), len(value)) + 2
		top.WriteString("┬" + center(bits, w, '─'))
		mid.WriteString("│" + center(name, w, ' '))
		val.WriteString("│" + center(value, w, ' '))
	}
	show := func(shift, bits uint8) string {
		if len(va) == 0 {
			return ""
		}
		v := uint64(va[0]) >> shift & (1<<bits - 1)
		return fmt.Sprintf("%#x", v)
	}
	if f.VABits < 64 && (f.Signed || f.VABits != 32) && f.VABits > 16 {
		name := "zero"
		if f.Signed {
			name = fmt.Sprintf("copies of bit %d", f.VABits-1)
		}
		cell(63, int(f.VABits), name, show(f.VABits, 64-f.VABits))
	}
	for i := range f.Levels {
		l := &f.Levels[i]
		cell(int(l.Shift+l.Bits)-1, int(l.Shift), l.Name, show(l.Shift, l.Bits))
	}
	cell(int(f.PageShift())-1, 0, "offset", show(0, f.PageShift()))
	out := "┌" + strings.TrimPrefix(top.String(), "┬") + "┐\n" + mid.String() + "│\n"
	if len(va) > 0 {
		out += val.String() + "│\n"
	}
	return out + "└" + strings.Repeat("─", len([]rune(mid.String()))-1) + "┘\n"
}

// center pads s to w runes on both sides.
func center(s string, w int, pad rune) string {
	n := w - len([]rune(s))
	return strings.Repeat(string(pad), n/2) + s + strings.Repeat(string(pad), n-n/2)
}

// Fields draws an entry: each flag by name with its value, numbers in
// hexadecimal, single bits as the flag's name when set and a dot when clear.
func (f *Format) Fields(pte uint64) string {
	var parts []string
	for _, fl := range f.Flags {
		v := pte >> fl.Bit & (1<<max(fl.Bits, 1) - 1)
		switch {
		case fl.Bits > 1:
			parts = append(parts, fmt.Sprintf("%s=%#x", fl.Name, v))
		case v == 1:
			parts = append(parts, fl.Name)
		default:
			parts = append(parts, "·")
		}
	}
	return strings.Join(parts, " ")
}

// Dump writes the tree of tables, one line a present entry, indented by level.
// Runs of leaves with adjacent frames and equal bits are written as one line.
func (t *Table) Dump(w io.Writer) error {
	d := dumper{t: t, w: w}
	d.printf("%s root %v\n", t.plan.format.Title, t.root)
	for n := range t.tree() {
		d.node(n)
	}
	d.flush()
	return d.err
}

type dumper struct {
	t     *Table
	w     io.Writer
	err   error
	run   node // first leaf of a run
	count int
}

func (d *dumper) printf(format string, args ...any) {
	if d.err == nil {
		_, d.err = fmt.Fprintf(d.w, format, args...)
	}
}

func (d *dumper) node(n node) {
	f := &d.t.plan.format
	if n.kind == entryLeaf && d.continues(n) {
		d.count++
		return
	}
	d.flush()
	pad := strings.Repeat("  ", d.t.plan.top-n.level+1)
	switch n.kind {
	case entryLeaf:
		d.run, d.count = n, 1
	case entryTable:
		note := ""
		if n.recursive {
			note = "  (recursive)"
		}
		d.printf("%s%v %s → table %v  %s%s\n", pad, n.va, d.t.plan.levels[n.level].Name, d.t.plan.next(n.pte), f.Fields(n.pte), note)
	default:
		d.printf("%s%v %s = %#x  malformed: %v (bits %#x)\n", pad, n.va, d.t.plan.levels[n.level].Name, n.pte, n.fault, n.mask)
	}
}

// continues reports whether leaf n goes on where the run ends.
func (d *dumper) continues(n node) bool {
	r := d.run
	if d.count == 0 || r.level != n.level || r.table != n.table || r.leaf.Shift != n.leaf.Shift {
		return false
	}
	off := uint64(d.count) << n.leaf.Shift
	frame := d.t.plan.levels[n.level].leafFrame
	return n.leaf.Page == r.leaf.Page+vm.VirtAddr(off) && n.leaf.Frame == r.leaf.Frame+vm.PhysAddr(off) && (n.pte^r.pte)&^frame == 0
}

// flush writes the run of leaves in hand.
func (d *dumper) flush() {
	if d.count == 0 {
		return
	}
	n := d.run
	pad := strings.Repeat("  ", d.t.plan.top-n.level+1)
	times := ""
	if d.count > 1 {
		times = fmt.Sprintf(" × %d", d.count)
	}
	d.printf("%s%v %s%s → %v, %s  %s\n", pad, n.leaf.Page, d.t.plan.levels[n.level].Name, times, n.leaf.Frame, byteSize(n.leaf.Size()), d.t.plan.format.Fields(n.pte))
	d.count = 0
}

// byteSize writes a power of two of bytes in the largest unit that fits.
func byteSize(n uint64) string {
	for i, u := range []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"} {
		if s := n >> (10 * i); s < 1024 {
			return fmt.Sprintf("%d %s", s, u)
		}
	}
	return fmt.Sprintf("%d EiB", n>>60)
}
