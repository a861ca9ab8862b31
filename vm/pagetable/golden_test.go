package pagetable

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/memlab-go/memlab/vm"
	"github.com/stretchr/testify/require"
)

// TestGolden draws tables as they change. Commands: new FORMAT; map, unmap,
// protect, split, merge, walk, touch with va=, pa=, len=, size=, perm=, acc=; dump;
// ruler.
func TestGolden(t *testing.T) {
	datadriven.Walk(t, "testdata/golden", func(t *testing.T, path string) {
		var tab *Table
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd == "new" {
				var name string
				d.ScanArgs(t, "format", &name)
				for _, f := range formats() {
					if f.Name == name {
						tab, _ = newTestTable(t, f, Options{Svnapot: f.NapotBit != 0})
					}
				}
				return ""
			}
			num := func(key string) uint64 {
				var s string
				if !d.HasArg(key) {
					return 0
				}
				d.ScanArgs(t, key, &s)
				n, err := strconv.ParseUint(s, 0, 64)
				require.NoError(t, err)
				return n
			}
			return goldenCommand(t, tab, d, num)
		})
	})
}

func goldenCommand(t *testing.T, tab *Table, d *datadriven.TestData, num func(string) uint64) string {
	va := vm.VirtAddr(num("va"))
	var err error
	switch d.Cmd {
	case "map":
		err = tab.Map(va, vm.PhysAddr(num("pa")), num("len"), num("size"), goldenPerm(t, d))
	case "unmap":
		err = tab.Unmap(va, num("len"))
	case "protect":
		err = tab.Protect(va, num("len"), goldenPerm(t, d))
	case "split":
		err = tab.Split(va)
	case "merge":
		err = tab.Merge(va, num("size"))
	case "recursive":
		var at vm.VirtAddr
		if at, err = tab.Recursive(int(num("slot"))); err == nil {
			return fmt.Sprintln("tables appear at", at)
		}
	case "walk":
		return tab.Trace(va, goldenAccess(d)).String()
	case "ruler":
		return tab.Format().Ruler() + tab.Format().Ruler(va)
	case "dump":
		var b strings.Builder
		require.NoError(t, tab.Dump(&b))
		require.NoError(t, tab.Check())
		return b.String()
	default:
		d.Fatalf(t, "unknown command")
	}
	if err != nil {
		return err.Error() + "\n"
	}
	return ""
}

func goldenPerm(t *testing.T, d *datadriven.TestData) (p vm.Perm) {
	var s string
	d.ScanArgs(t, "perm", &s)
	for _, c := range s {
		p |= 1 << strings.IndexRune("rwxupd", c)
	}
	return p
}

func goldenAccess(d *datadriven.TestData) (a vm.Access) {
	for _, arg := range d.CmdArgs {
		switch arg.Key {
		case "w":
			a |= vm.Write
		case "x":
			a |= vm.Execute
		case "user":
			a |= vm.User
		}
	}
	return a
}
