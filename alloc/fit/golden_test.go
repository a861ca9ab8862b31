package fit

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/arena"
)

// TestGolden draws heaps. Commands:
//
//	heap kind=… size=… [policy= order= coalesce= header= align= grow=]   a fresh heap
//	malloc a 24; aligned a 24 64; realloc a 50; free a                   in one line or many
//	list                                                                 the free list
//	events                                                               what the sink was told
func TestGolden(t *testing.T) {
	datadriven.Walk(t, "testdata/heaps", func(t *testing.T, path string) {
		var g golden
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			return g.run(t, d)
		})
	})
}

// golden is the heap of one file.
type golden struct {
	h      fullHeap
	blocks map[string][]byte // live
	dead   map[string][]byte
	events []alloc.Event
}

func (g *golden) run(t *testing.T, d *datadriven.TestData) string {
	switch d.Cmd {
	case "heap":
		return g.open(t, d)
	case "list":
		var sb strings.Builder
		for _, b := range g.h.FreeList() {
			fmt.Fprintf(&sb, "%#x: %d bytes\n", uint64(b.Off), b.Size)
		}
		return sb.String()
	}
	g.events = nil
	var errs strings.Builder
	script := d.Cmd + " " + args(d) + "\n" + d.Input
	for _, line := range strings.FieldsFunc(script, func(r rune) bool { return r == ';' || r == '\n' }) {
		if err := g.step(strings.Fields(line)); err != nil {
			fmt.Fprintf(&errs, "%s: %v\n", strings.TrimSpace(line), err)
		}
	}
	require.NoError(t, g.h.Check())
	return errs.String() + g.draw()
}

// args is the text after the command.
func args(d *datadriven.TestData) string {
	var words []string
	for _, a := range d.CmdArgs {
		words = append(words, a.Key)
	}
	return strings.Join(words, " ")
}

func (g *golden) open(t *testing.T, d *datadriven.TestData) string {
	var kind, policy, order, coalesce string
	size := 512
	o := &Options{Seed: 1, Sink: func(e alloc.Event) { g.events = append(g.events, e) }}
	d.MaybeScanArgs(t, "size", &size)
	d.MaybeScanArgs(t, "header", &o.Header)
	d.MaybeScanArgs(t, "align", &o.Align)
	d.MaybeScanArgs(t, "grow", &o.Grow)
	var err error
	if d.MaybeScanArgs(t, "policy", &policy) {
		o.Policy, err = ParsePolicy(policy)
		require.NoError(t, err)
	}
	if d.MaybeScanArgs(t, "order", &order) {
		o.Order, err = ParseOrder(order)
		require.NoError(t, err)
	}
	if d.MaybeScanArgs(t, "coalesce", &coalesce) {
		o.Coalesce, err = ParseCoalesce(coalesce)
		require.NoError(t, err)
	}
	d.ScanArgs(t, "kind", &kind)
	o.Limit = size
	g.h, err = openers[kind](region(t, size, arena.GoHeap), o)
	require.NoError(t, err)
	g.blocks, g.dead = map[string][]byte{}, map[string][]byte{}
	return g.draw()
}

// step performs one command on the heap.
func (g *golden) step(words []string) (err error) {
	if len(words) < 2 {
		return fmt.Errorf("want a command and a block")
	}
	name := words[1]
	var sizes [2]int
	for i, w := range words[2:] {
		if _, err := fmt.Sscan(w, &sizes[i]); err != nil {
			return err
		}
	}
	var b []byte
	fault := alloc.Try(func() {
		switch words[0] {
		case "malloc":
			b, err = g.h.Malloc(sizes[0])
		case "aligned":
			b, err = g.h.MallocAligned(sizes[0], sizes[1])
		case "realloc":
			b, err = g.h.Realloc(g.blocks[name], sizes[0])
		case "free":
			if b = g.blocks[name]; b == nil {
				b = g.dead[name] // a double free
			}
			g.h.Free(b)
			delete(g.blocks, name)
			g.dead[name] = b
		default:
			err = fmt.Errorf("unknown command")
		}
	})
	if fault != nil {
		fault.(*alloc.Fault).Addr = 0
		return fault
	}
	if err == nil && words[0] != "free" {
		g.blocks[name] = b
	}
	return err
}

func (g *golden) draw() string {
	s := alloc.MapLabel(g.h, 64, func(b alloc.Block) rune {
		if !b.Used {
			return '.'
		}
		for name, live := range g.blocks {
			if offsetOf(g.h, live) == int(b.Off) {
				return rune(name[0])
			}
		}
		return '#'
	})
	var sb strings.Builder
	sb.WriteString(s + "\n")
	for _, e := range g.events {
		switch e.Kind {
		case alloc.EventSplit:
			fmt.Fprintf(&sb, "  split %#x: %d of %d bytes\n", uint64(e.Off), e.Size, e.Usable)
		case alloc.EventCoalesce:
			fmt.Fprintf(&sb, "  coalesce %#x: %d bytes\n", uint64(e.Off), e.Size)
		}
	}
	g.events = nil
	return sb.String()
}
