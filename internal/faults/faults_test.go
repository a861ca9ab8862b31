package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// readRows reads the table of the project.
func readRows(t *testing.T) []Row {
	t.Helper()
	f, err := os.Open("rows.txt")
	require.NoError(t, err)
	defer func() { require.NoError(t, f.Close()) }()
	rows, err := ParseRows(f)
	require.NoError(t, err)
	return rows
}

// TestTableIsComplete holds that no row can be dropped to make a test pass.
func TestTableIsComplete(t *testing.T) {
	var want, got []string
	for _, part := range []struct {
		letter string
		rows   int
	}{{"A", 50}, {"B", 30}, {"C", 38}} {
		for n := 1; n <= part.rows; n++ {
			if id := fmt.Sprintf("%s%02d", part.letter, n); id != "A19" { // there is no row A19
				want = append(want, id)
			}
		}
	}
	for _, r := range readRows(t) {
		got = append(got, r.ID)
	}
	require.Equal(t, want, got)
}

// TestDueRowsHaveTests is the promise: each row that is due is held by a
// subtest, and each subtest names a row.
func TestDueRowsHaveTests(t *testing.T) {
	rows := readRows(t)
	tests, err := Find("../..")
	require.NoError(t, err)
	for _, wrong := range Compare(rows, tests) {
		t.Error(wrong)
	}
	have := map[string]int{}
	for _, s := range tests {
		have[s.ID]++
	}
	due, held := map[string]int{}, map[string]int{}
	for _, r := range rows {
		due[r.Owner]++
		if have[r.ID] > 0 {
			held[r.Owner]++
		} else if !r.Due {
			t.Logf("owed by %s: %s %s", r.Owner, r.ID, r.Title)
		}
	}
	for _, o := range owners() {
		t.Logf("%s: %d of %d rows have a test", o, held[o], due[o])
	}
}

func TestParseRows(t *testing.T) {
	rows, err := ParseRows(strings.NewReader("# comment\n\nA01 foundation yes Malloc(0)\nB02  mmu no  not   present\n"))
	require.NoError(t, err)
	require.Equal(t, []Row{
		{"A01", "foundation", true, "Malloc(0)"},
		{"B02", "mmu", false, "not present"},
	}, rows)
	for bad, want := range map[string]string{
		"A01 foundation yes":                              "line 1: want id",
		"\nD01 foundation yes x":                          "line 2: bad id",
		"A1 foundation yes x":                             "line 1: bad id",
		"A01 nobody yes x":                                "line 1: unknown owner",
		"A01 mmu maybe x":                                 "line 1: \"maybe\" is neither",
		"A01 mmu no x\nA01 foundation yes x":              "line 2: A01 is there twice",
		"A02 mmu no x\n# A01\nA03 mmu no x\nA04 mmu no  ": "line 4: want id",
	} {
		_, err := ParseRows(strings.NewReader(bad))
		require.ErrorContains(t, err, want, "%q", bad)
	}
}

func TestFindAndCompare(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
	write("a/x_test.go", `package a
func TestFault(t *testing.T) { t.Run("A01_zero", f); t.Run("not A02_this", f); _ = []string{"B03_in_a_table"} }
func TestFaultMore(t *testing.T) { t.Run("C99_unknown", f) }
func TestOther(t *testing.T) { t.Run("A04_elsewhere", f) }
func (x T) TestFaultMethod() { t.Run("A05_method", f) }
`)
	write("a/x.go", `package a
func TestFault() { use("A06_not_a_test") }
`)
	write("a/testdata/y_test.go", `package a
func TestFault(t *testing.T) { t.Run("A07_data", f) }
`)
	tests, err := Find(dir)
	require.NoError(t, err)
	require.Equal(t, []Subtest{
		{"A01", "A01_zero", "a/x_test.go:2"},
		{"B03", "B03_in_a_table", "a/x_test.go:2"},
		{"C99", "C99_unknown", "a/x_test.go:3"},
	}, tests)
	rows := []Row{{"A01", "foundation", true, "x"}, {"A04", "foundation", true, "y"}, {"A05", "mmu", false, "z"}, {"B03", "mmu", true, "z"}}
	require.Equal(t, []string{
		"A04 (y) is due from foundation and no TestFault has a subtest A04_…",
		"a/x_test.go:3: subtest C99_unknown names no row",
	}, Compare(rows, tests))

	write("a/broken_test.go", "package a\nfunc {")
	_, err = Find(dir)
	require.ErrorContains(t, err, "broken_test.go:2")
}

// FuzzParseRows holds that no table makes the reader fail but with an error.
func FuzzParseRows(f *testing.F) {
	f.Add("A01 foundation yes x\n")
	f.Add("# only a comment")
	f.Fuzz(func(t *testing.T, text string) {
		rows, err := ParseRows(strings.NewReader(text))
		if err == nil {
			for _, r := range rows {
				require.Regexp(t, `^[ABC]\d\d$`, r.ID)
			}
		}
	})
}
