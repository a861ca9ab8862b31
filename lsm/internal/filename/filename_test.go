package filename

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		name string
		kind Kind
		num  uint64
	}{
		{"CURRENT", Current, 0},
		{"LOCK", Lock, 0},
		{"LOG", Info, 0},
		{"LOG.old", Info, 0},
		{"MANIFEST-000001", Manifest, 1},
		{"MANIFEST-1234567", Manifest, 1234567},
		{"000005.log", Log, 5},
		{"000006.ldb", Table, 6},
		{"000007.sst", Table, 7},
		{"000008.dbtmp", Temp, 8},
		{"4611686018427387903.ldb", Table, MaxNum},
		{"4611686018427387904.ldb", Unknown, 0},
		{"18446744073709551615.ldb", Unknown, 0},
		{"18446744073709551616.ldb", Unknown, 0},
		{"", Unknown, 0},
		{"6.ldb", Unknown, 0},
		{"0000006.ldb", Unknown, 0},
		{"-00006.ldb", Unknown, 0},
		{"+00006.ldb", Unknown, 0},
		{"000006.LDB", Unknown, 0},
		{"000006.ldb.bak", Unknown, 0},
		{"../000006.ldb", Unknown, 0},
		{"manifest-000001", Unknown, 0},
		{"MANIFEST-", Unknown, 0},
		{"current", Unknown, 0},
	} {
		kind, num := Parse(c.name)
		require.Equal(t, c.kind, kind, "Parse(%q)", c.name)
		require.Equal(t, c.num, num, "Parse(%q)", c.name)
	}
	for _, n := range []uint64{0, 1, 999999, 1000000} {
		for name, want := range map[string]Kind{MakeManifest(n): Manifest, MakeLog(n): Log, MakeTable(n): Table, MakeOldTable(n): Table, MakeTemp(n): Temp} {
			kind, num := Parse(name)
			require.Equal(t, want, kind, name)
			require.Equal(t, n, num, name)
		}
	}
}

// FuzzParse holds that a name is known exactly if it is spelled as it is made.
func FuzzParse(f *testing.F) {
	for _, name := range []string{"CURRENT", "LOCK", "LOG", "LOG.old", "MANIFEST-000001", "000002.log", "000003.ldb", "000004.sst",
		"000005.dbtmp", "1.log", "+00001.log", "MANIFEST-", "99999999999999999999.ldb", "lost", "../000001.log"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		kind, num := Parse(name)
		made := map[Kind][]string{
			Manifest: {MakeManifest(num)}, Log: {MakeLog(num)}, Table: {MakeTable(num), MakeOldTable(num)}, Temp: {MakeTemp(num)},
			Current: {CurrentName}, Lock: {LockName}, Info: {"LOG", "LOG.old"}, Unknown: {name},
		}[kind]
		if !slices.Contains(made, name) {
			t.Fatalf("%q is kind %d, number %d, which is spelled %q", name, kind, num, made)
		}
	})
}
