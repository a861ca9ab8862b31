package arena_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/arena"
)

// TestRegionGolden draws a region of 16 pages after each command. Positions
// and lengths are in pages:
//
//	new limit=N            a fresh region (n pages may be committed; 0: all)
//	commit AT N
//	decommit AT N
//	fill AT N LETTER       write a letter to the pages
//	move DST SRC N
//
// In the picture a dot is a page that is not committed, a zero one that holds
// zeros, a letter one that was filled with it.
func TestRegionGolden(t *testing.T) {
	for _, backing := range []arena.Backing{arena.Mmap, arena.GoHeap} {
		t.Run(backing.String(), func(t *testing.T) {
			g := &regionGolden{t: t, backing: backing}
			datadriven.RunTest(t, "testdata/region", func(t *testing.T, d *datadriven.TestData) string {
				return g.run(d)
			})
		})
	}
}

const goldenPages = 16

type regionGolden struct {
	t       *testing.T
	backing arena.Backing
	m       *regionModel
}

// run does the command of one block: the first line, and more in its input.
func (g *regionGolden) run(d *datadriven.TestData) string {
	var out strings.Builder
	if d.Cmd == "new" {
		var limit int
		d.MaybeScanArgs(g.t, "limit", &limit)
		page := pageSizeOf()
		r := reserve(g.t, goldenPages*page, &arena.Options{Backing: g.backing, Limit: limit * page})
		g.m = newRegionModel(r, limit)
	}
	for line := range strings.Lines(d.Input) {
		err := g.do(strings.Fields(line))
		fmt.Fprintf(&out, "|%s|  committed %2d  %s\n", g.draw(), g.m.r.Stats().Committed/g.m.page, strings.TrimSpace(line))
		if err != nil {
			fmt.Fprintf(&out, "%s\n", kind(err))
		}
	}
	return out.String()
}

// do runs one command on the region alone; the model only does the drawing.
func (g *regionGolden) do(f []string) error {
	nums := make([]int, 0, 3)
	for _, s := range f[1:] {
		var n int
		if _, err := fmt.Sscan(s, &n); err == nil {
			nums = append(nums, n)
		}
	}
	at := func(i int) arena.Offset { return arena.Offset(nums[i] * g.m.page) }
	switch f[0] {
	case "commit":
		return g.m.r.Commit(at(0), nums[1]*g.m.page)
	case "decommit":
		return g.m.r.Decommit(at(0), nums[1]*g.m.page)
	case "move":
		return g.m.r.Move(at(0), at(1), nums[2]*g.m.page)
	case "fill":
		fillWith(g.m.r.Bytes()[at(0):][:nums[1]*g.m.page], f[3][0])
		return nil
	}
	return fmt.Errorf("no command %q", f[0])
}

// draw asks for one page at a time whether it is committed, by the count.
func (g *regionGolden) draw() string {
	var sb strings.Builder
	for p, c := range committedPages(g.m.r) {
		if p >= goldenPages {
			break
		}
		switch b := g.m.r.Bytes(); {
		case !c:
			sb.WriteByte('.')
		case b[p*g.m.page] == 0:
			sb.WriteByte('0')
		default:
			sb.WriteByte(b[p*g.m.page])
		}
	}
	return sb.String()
}

// kind returns the sentinel of an arena error, without figures, which depend
// on the page size.
func kind(err error) string {
	var e *arena.Error
	if errors.As(err, &e) {
		return fmt.Sprintf("error: %s: %v", e.Op, e.Err)
	}
	return "error: " + err.Error()
}

// committedPages lists which pages of r are committed.
func committedPages(r *arena.Region) []bool {
	pages := make([]bool, r.Size()/r.PageSize())
	for lo, hi := range r.Committed() {
		for p := int(lo) / r.PageSize(); p < int(hi)/r.PageSize(); p++ {
			pages[p] = true
		}
	}
	return pages
}

// TestArenaGolden draws an arena of one region of 1024 bytes, 16 to a character. Commands:
//
//	alloc NAME SIZE ALIGN
//	mark NAME
//	release NAME
//	reset
func TestArenaGolden(t *testing.T) {
	datadriven.RunTest(t, "testdata/arena", func(t *testing.T, d *datadriven.TestData) string {
		const size, unit = 1024, 16
		var out strings.Builder
		a := arena.ArenaIn(arena.FromBytes(alignedBytes(t, size)))
		defer func() { require.NoError(t, a.Close()) }()
		picture := []byte(strings.Repeat(".", size/unit))
		marks := map[string]arena.Mark{}
		used := map[string]int{}
		for line := range strings.Lines(d.Input) {
			f := strings.Fields(line)
			var err error
			switch f[0] {
			case "alloc":
				var n, align int
				_, err = fmt.Sscan(f[2]+" "+f[3], &n, &align)
				require.NoError(t, err)
				var b []byte
				if b, err = a.Alloc(n, align); err == nil {
					start := a.Stats().Used - len(b)
					for i := start / unit; i <= (start+n-1)/unit; i++ {
						picture[i] = f[1][0]
					}
				}
			case "mark":
				marks[f[1]], used[f[1]] = a.Mark(), a.Stats().Used
			case "release":
				err = a.Release(marks[f[1]])
			case "reset":
				a.Reset()
			}
			for i := (a.Stats().Used + unit - 1) / unit; i < len(picture); i++ {
				picture[i] = '.'
			}
			s := a.Stats()
			fmt.Fprintf(&out, "|%s|  used %4d  marks %d  %s\n", picture, s.Used, s.Marks, strings.TrimSpace(line))
			if err != nil {
				fmt.Fprintf(&out, "%v\n", err)
			}
			require.NoError(t, a.Check())
		}
		return out.String()
	})
}

// alignedBytes returns n bytes that start on a page.
func alignedBytes(t *testing.T, n int) []byte {
	r := reserve(t, n, &arena.Options{Backing: arena.GoHeap})
	require.NoError(t, r.Commit(0, n))
	return r.Bytes()[:n]
}
