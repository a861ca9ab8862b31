package segregated

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
)

// TestGolden draws heaps. Commands:
//
//	heap [classes=none|(16,64)]                      a fresh heap
//	do                                           lines of malloc a 24; free a; realloc a 50; aligned a 24 64;
//	                                             interior a; fill 24 10; trim; flush
//
// The output is one letter a granule, up to a line, and what is free.
func TestGolden(t *testing.T) {
	datadriven.Walk(t, "testdata/heaps", func(t *testing.T, path string) {
		g := golden{}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd == "heap" {
				g.open(t, d)
				return g.draw()
			}
			var out strings.Builder
			for _, line := range strings.FieldsFunc(d.Input, func(r rune) bool { return r == ';' || r == '\n' }) {
				if err := g.step(strings.Fields(line)); err != nil {
					fmt.Fprintf(&out, "%s: %v\n", strings.TrimSpace(line), err)
				}
			}
			require.NoError(t, g.h.Check())
			return out.String() + g.draw()
		})
	})
}

// golden is the heap of one file.
type golden struct {
	h      *Heap
	blocks map[string][]byte // live
	dead   map[string][]byte // freed, to be freed again
}

func (g *golden) open(t *testing.T, d *datadriven.TestData) {
	var o Options
	for _, a := range d.CmdArgs {
		o.Classes = []int{}
		for _, v := range a.Vals {
			if v == "none" {
				break
			}
			n, err := strconv.Atoi(v)
			require.NoError(t, err)
			o.Classes = append(o.Classes, n)
		}
	}
	g.h, g.blocks, g.dead = fresh(t, 1<<20, &o), map[string][]byte{}, map[string][]byte{}
}

// step does one call. Bad frees come back as errors.
func (g *golden) step(f []string) (err error) {
	size := 0
	if len(f) > 2 {
		if size, err = strconv.Atoi(f[2]); err != nil {
			return err
		}
	}
	switch f[0] {
	case "malloc":
		g.blocks[f[1]], err = g.h.Malloc(size)
	case "aligned": // aligned name size alignment
		align, aerr := strconv.Atoi(f[3])
		if aerr != nil {
			return aerr
		}
		g.blocks[f[1]], err = g.h.MallocAligned(size, align)
	case "realloc":
		g.blocks[f[1]], err = g.h.Realloc(g.blocks[f[1]], size)
	case "free":
		b := g.blocks[f[1]]
		if b == nil {
			b = g.dead[f[1]]
		}
		err = alloc.Try(func() { g.h.Free(b) })
		g.dead[f[1]] = b
		delete(g.blocks, f[1])
	case "interior":
		err = alloc.Try(func() { g.h.Free(g.blocks[f[1]][16:]) })
	case "fill": // malloc many blocks nobody asks for again
		for range size {
			n, _ := strconv.Atoi(f[1])
			if _, err := g.h.Malloc(n); err != nil {
				return err
			}
		}
	case "flush":
		g.h.flushQuick()
	case "trim":
		g.h.Trim()
	default:
		err = fmt.Errorf("no such step: %q", f[0])
	}
	return err
}

// draw prints the data from its first granule: a letter for a granule of a live
// block of that name, # of another one, . free, with a bar before each block.
func (g *golden) draw() string {
	names := map[uint64]string{}
	for name, b := range g.blocks {
		if b != nil {
			names[uint64(addrOf(b)-addrOf(g.h.mem))] = name
		}
	}
	var sb strings.Builder
	for b := range g.h.Blocks() {
		mark := "."
		if b.Used {
			if mark = names[uint64(b.Off)]; mark == "" {
				mark = "#"
			}
		}
		n := b.Size / granule
		if n > 12 {
			fmt.Fprintf(&sb, "|%s×%d", mark, n)
		} else {
			sb.WriteString("|" + strings.Repeat(mark, n))
		}
	}
	s := g.h.Stats()
	fmt.Fprintf(&sb, "|\nlive %d in %d blocks, %d free blocks\n", s.Live, s.LiveBlocks, s.FreeBlocks)
	return sb.String()
}
