package lsm

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/arena"
	"github.com/memlab-go/memlab/lsm/internal/filename"
	"github.com/memlab-go/memlab/lsm/internal/filter"
	"github.com/memlab-go/memlab/lsm/internal/record"
	"github.com/memlab-go/memlab/lsm/vfs"
)

// A damagedStore is one directory of testdata/damaged and how it came to be.
type damagedStore struct {
	name   string // row of the fault table, and what is broken
	what   string // for the reader of its verdict
	damage func(t *testing.T, fs *vfs.Mem)
}

// damagedStores lists the corpus of damage. All are made of damagedBase.
func damagedStores() []damagedStore {
	log := func(change func([]byte) []byte) func(*testing.T, *vfs.Mem) {
		return func(t *testing.T, fs *vfs.Mem) { edit(t, fs, names(t, fs, filename.Log)[0], change) }
	}
	table := func(change func([]byte) []byte) func(*testing.T, *vfs.Mem) {
		return func(t *testing.T, fs *vfs.Mem) { edit(t, fs, names(t, fs, filename.Table)[0], change) }
	}
	manifest := func(change func([]byte) []byte) func(*testing.T, *vfs.Mem) {
		return func(t *testing.T, fs *vfs.Mem) { edit(t, fs, names(t, fs, filename.Manifest)[0], change) }
	}
	current := func(s string) func(*testing.T, *vfs.Mem) {
		return func(t *testing.T, fs *vfs.Mem) { rewrite(t, fs, filename.CurrentName, []byte(s)) }
	}
	cut := func(n int) func([]byte) []byte { return func(b []byte) []byte { return b[:len(b)-n] } }
	add := func(tail []byte) func([]byte) []byte {
		return func(b []byte) []byte { return append(b, tail...) }
	}
	return []damagedStore{
		{"whole", "Nothing is broken.", func(*testing.T, *vfs.Mem) {}},
		{"C04-log-cut", "The last record of the log lacks its last three bytes, as a crash leaves it.", log(cut(3))},
		{"C06-log-flip-last", "A bit in the last record of the log is wrong.", log(flip(-5))},
		{"C07-log-flip-middle", "A bit in the middle of the log is wrong, and whole records follow.", log(flip(300))},
		{"C08-log-zeros", "The log ends in a kilobyte of zeros, which was allocated and not written.", log(add(make([]byte, 1000)))},
		{"C08-log-garbage", "The log ends in bytes that nobody wrote.", log(add(bytes.Repeat([]byte{0xa5}, 77)))},
		{"C10-log-length", "A length in the log points far behind its block, and whole records follow.",
			log(func(b []byte) []byte { b[4], b[5] = 0xff, 0xff; return b })},
		{"C11-log-fragment", "The log holds the end of a record whose beginning is not there.", log(strayFragment)},
		{"C12-table-data", "A bit in a data block of a table is wrong.", table(flip(40))},
		{"C13-table-filter", "A bit in the bloom filter of a table is wrong.", table(inNamed("filter." + filter.PolicyName))},
		{"C13-table-properties", "A bit in what a table says of itself is wrong.", table(inNamed("rocksdb.properties"))},
		{"C13-table-metaindex", "A bit in the metaindex of a table, which says where filter and properties are, is wrong.",
			table(func(b []byte) []byte { b[bytes.Index(b, []byte("filter."))] ^= 1; return b })},
		{"C13-table-index", "A bit in the index of a table is wrong.", table(flip(-48 - 20))},
		{"C13-table-footer", "A bit of the footer of a table, where it says where the index is, is wrong.", table(flip(-46))},
		{"C13-table-magic", "A bit in the last eight bytes of a table, by which it is known, is wrong.", table(flip(-3))},
		{"C14-table-cut", "A table is half as long as it was.", table(func(b []byte) []byte { return b[:len(b)/2] })},
		{"C14-table-empty", "A table has no bytes.", table(func([]byte) []byte { return nil })},
		{"C14-table-longer", "A table has bytes behind its end.", table(add([]byte("more")))},
		{"C15-table-missing", "A table is gone.", func(t *testing.T, fs *vfs.Mem) { remove(t, fs, names(t, fs, filename.Table)[0]) }},
		{"C15-table-unknown", "There are a whole table and the beginning of one that no MANIFEST names.", addOrphans},
		{"C16-tables-swapped", "Two tables have each other's names.", swapTables},
		{"C17-manifest-flip", "A bit in the MANIFEST is wrong.", manifest(flip(60))},
		{"C17-manifest-cut", "The last edit of the MANIFEST lacks its end. It had been acted on: the log it retires is gone.", manifest(cut(5))},
		{"C17-manifest-unfinished", "An edit of the MANIFEST was being written, and nothing had been done about it yet.", unfinishedEdit},
		{"C17-manifest-empty", "The MANIFEST has no bytes.", manifest(func([]byte) []byte { return nil })},
		{"C17-manifest-missing", "The MANIFEST is gone.", func(t *testing.T, fs *vfs.Mem) { remove(t, fs, names(t, fs, filename.Manifest)[0]) }},
		{"C17-current-missing", "CURRENT is gone.", func(t *testing.T, fs *vfs.Mem) { remove(t, fs, filename.CurrentName) }},
		{"C17-current-dangling", "CURRENT names a MANIFEST that is not there.", current("MANIFEST-000777\n")},
		{"C17-current-cut", "CURRENT lacks the newline at its end.", current("MANIFEST-000003")},
		{"C30-current-escapes", "CURRENT names a file outside of the directory.", current("../MANIFEST-000003\n")},
	}
}

// damagedOptions keep the store small and its blocks readable with a hex editor.
func damagedOptions(fs vfs.FS) *Options {
	return &Options{FS: fs, Backing: arena.GoHeap, WriteBufferSize: 64 << 10, BlockCacheSize: 64 << 10, TablesSize: 256 << 10,
		Compression: None, BlockSize: 256, MaxCompactions: -1}
}

// damagedHistory has keys that sort as they are numbered.
func damagedHistory() history { return history{keys: 30, size: 20, points: true} }

// damagedBase is what everything else is made of: a table on level 1, one on level
// 0, and a log.
func damagedBase(t *testing.T, n int) *vfs.Mem {
	t.Helper()
	fs, h := vfs.NewMem(), damagedHistory()
	d := mustOpen(t, damagedOptions(fs))
	for i := 1; i <= n; i++ {
		var b Batch
		h.add(&b, i)
		require.NoError(t, d.Apply(&b, nil))
		switch i {
		case 30:
			require.NoError(t, d.CompactRange(nil, nil))
		case 40:
			require.NoError(t, d.Flush())
		}
	}
	require.NoError(t, d.Close())
	return fs
}

// strayFragment puts the last chunk of a record between two records.
func strayFragment(log []byte) []byte {
	var long bytes.Buffer
	w := record.NewWriter(&long, nil, 0)
	_ = w.Append(make([]byte, record.BlockSize)) // to memory: cannot fail
	_ = w.Flush()
	last := long.Bytes()[record.BlockSize:] // the second of its two chunks
	at := record.HeaderLen + int(log[4]) + int(log[5])<<8
	return slices.Insert(log, at, last...)
}

// inNamed flips a bit of the block that the metaindex gives this name.
func inNamed(name string) func([]byte) []byte {
	return func(b []byte) []byte {
		off, _ := binary.Uvarint(b[bytes.LastIndex(b, []byte(name))+len(name):])
		b[off+3] ^= 1
		return b
	}
}

func addOrphans(t *testing.T, fs *vfs.Mem) {
	body := contents(t, fs, names(t, fs, filename.Table)[0])
	rewrite(t, fs, filename.MakeTable(900), body)
	rewrite(t, fs, filename.MakeTable(901), body[:len(body)/3])
}

func swapTables(t *testing.T, fs *vfs.Mem) {
	tables := names(t, fs, filename.Table)
	a, b := contents(t, fs, tables[0]), contents(t, fs, tables[1])
	rewrite(t, fs, tables[0], b)
	rewrite(t, fs, tables[1], a)
}

// unfinishedEdit flushes the log to a table and stops in the middle of the edit
// that would name it.
func unfinishedEdit(t *testing.T, fs *vfs.Mem) {
	in := vfs.NewInjector(fs)
	var stopped *vfs.Mem
	d := mustOpen(t, damagedOptions(in))
	require.NoError(t, damagedHistory().step(d, 51, OS))
	in.Decide(func(c vfs.Call) *vfs.Fault {
		if kind, _ := filename.Parse(c.Name); kind == filename.Manifest && c.Op == vfs.OpSync && stopped == nil {
			stopped = fs.CrashClone(1, 0)
		}
		return nil
	})
	require.NoError(t, d.Flush())
	in.Decide(nil)
	require.NoError(t, d.Close())
	for _, name := range filesWith(t, fs, "") {
		remove(t, fs, name)
	}
	for _, name := range filesWith(t, stopped, "") {
		rewrite(t, fs, name, contents(t, stopped, name))
	}
	edit(t, fs, names(t, fs, filename.Manifest)[0], func(b []byte) []byte { return b[:len(b)-4] })
}

// TestDamagedStores holds the verdict about every store of testdata/damaged: what
// Open says in each mode, what Check finds, what Repair brings back. With -rewrite it
// makes them anew.
func TestDamagedStores(t *testing.T) {
	if rewriting() {
		for _, c := range damagedStores() {
			fs := damagedBase(t, 50)
			c.damage(t, fs)
			dir := filepath.Join("testdata", "damaged", c.name)
			saveDir(t, fs, filepath.Join(dir, "db"))
			if _, err := os.Stat(filepath.Join(dir, "verdict")); err != nil {
				require.NoError(t, os.WriteFile(filepath.Join(dir, "verdict"), []byte(verdictTemplate(c.what)), 0o644))
			}
		}
	}
	for _, c := range damagedStores() {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join("testdata", "damaged", c.name)
			datadriven.RunTest(t, filepath.Join(dir, "verdict"), func(t *testing.T, d *datadriven.TestData) string {
				return verdict(t, filepath.Join(dir, "db"), d)
			})
		})
	}
}

func verdictTemplate(what string) string {
	return "# " + what + "\n\nopen\n----\n\nrepair\n----\n"
}

// verdict carries out one command of a verdict file and says what came of it.
func verdict(t *testing.T, dir string, d *datadriven.TestData) string {
	if d.Cmd == "repair" {
		return verdictOfRepair(t, loadDir(t, dir))
	}
	var outcomes []string
	modes := map[string][]string{}
	for m := TornTail; m <= Salvage; m++ {
		o := damagedOptions(loadDir(t, dir))
		o.Recovery, o.ReadOnly = m, true
		_, readOnly := describeStore(t, o)
		o.ReadOnly = false
		out, same := describeStore(t, o)
		require.Equal(t, readOnly, same, "the mode is %v; opened read-only, then to write", m)
		if modes[out] == nil {
			outcomes = append(outcomes, out)
		}
		modes[out] = append(modes[out], m.String())
	}
	var out strings.Builder
	for _, o := range outcomes {
		fmt.Fprintf(&out, "%s:\n%s", strings.Join(modes[o], ", "), o)
	}
	return out.String()
}

func verdictOfRepair(t *testing.T, fs *vfs.Mem) string {
	report, err := Repair("db", damagedOptions(fs))
	require.NoError(t, err, "it repairs everything")
	var out strings.Builder
	for _, f := range report.Tables {
		fmt.Fprintf(&out, "  %s: %d entries\n", f.Name, f.Entries)
		for _, what := range f.Damage {
			fmt.Fprintf(&out, "    %s\n", what)
		}
	}
	describeLogs(&out, report.Logs)
	if len(report.Lost) > 0 {
		fmt.Fprintf(&out, "  moved: %s\n", strings.Join(report.Lost, " "))
	}
	o := damagedOptions(fs)
	o.Recovery = Strict
	after, _ := describeStore(t, o)
	return out.String() + after
}

// describeStore opens a store and says what is in it: how many keys, and how many of
// them have the value that they last had, an older one, or none. What it says of
// files that it moved or left alone is not in data.
func describeStore(t *testing.T, o *Options) (all, data string) {
	db, err := Open("db", o)
	if err != nil {
		require.ErrorIs(t, err, ErrCorrupt)
		all = fmt.Sprintf("  refused: %v\n", err)
		return all, all
	}
	var out, files strings.Builder
	r := db.Recovery()
	describeLogs(&out, r.Logs)
	for _, x := range []struct {
		what  string
		names []string
	}{{"orphans", r.Orphans}, {"unknown", r.Unknown}, {"kept", r.Kept}} {
		if len(x.names) > 0 {
			fmt.Fprintf(&files, "  %s: %s\n", x.what, strings.Join(x.names, " "))
		}
	}
	if r.ManifestCut != "" {
		fmt.Fprintf(&out, "  MANIFEST cut: %s\n", r.ManifestCut)
	}
	got := model{}
	it, err := db.NewIter(nil)
	require.NoError(t, err)
	for k, v := range it.All() {
		got[string(k)] = string(v)
	}
	out.WriteString(judge(t, got))
	if err := it.Close(); err != nil {
		require.ErrorIs(t, err, ErrCorrupt)
		fmt.Fprintf(&out, "  then: %v\n", err)
	}
	if err := db.Check(); err != nil {
		require.ErrorIs(t, err, ErrCorrupt)
		fmt.Fprintf(&out, "  check: %v\n", err)
	}
	require.NoError(t, db.Close())
	return out.String() + files.String(), out.String()
}

func describeLogs(out *strings.Builder, logs []LogReport) {
	for _, l := range logs {
		if len(l.Damage) > 0 {
			fmt.Fprintf(out, "  %s: %d batches, %d bytes left out\n", l.Name, l.Batches, l.Dropped)
		}
		for _, what := range l.Damage {
			fmt.Fprintf(out, "    %s\n", what)
		}
	}
}

// judge compares what was read with what was written. A value that was never
// written fails the test.
func judge(t *testing.T, got model) string {
	h := damagedHistory()
	ever := map[string]map[string]bool{}
	var last model
	for i := 1; i <= 51; i++ {
		last = h.state(i)
		for k, v := range last {
			if ever[k] == nil {
				ever[k] = map[string]bool{}
			}
			ever[k][v] = true
		}
	}
	if got["n"] == "50" || got["n"] == "" {
		last = h.state(50)
	}
	older := 0
	for k, v := range got {
		require.True(t, ever[k][v], "%q never had the value %q", k, v)
		if last[k] != v {
			older++
		}
	}
	missing := 0
	for k := range last {
		if _, ok := got[k]; !ok {
			missing++
		}
	}
	return fmt.Sprintf("  %d keys, %d with an older value, %d missing\n", len(got), older, missing)
}

// TestDamagedCutShort: a report tells a last record that the end of the file cuts
// from bytes that went bad.
func TestDamagedCutShort(t *testing.T) {
	for name, want := range map[string]bool{"whole": false, "C04-log-cut": true, "C06-log-flip-last": false, "C08-log-garbage": false, "C08-log-zeros": false} {
		o := damagedOptions(loadDir(t, filepath.Join("testdata", "damaged", name, "db")))
		o.ReadOnly = true
		db, err := Open("db", o)
		require.NoError(t, err)
		logs := db.Recovery().Logs
		require.Equal(t, want, logs[len(logs)-1].CutShort, name)
		require.NoError(t, db.Close())
	}
}

// TestDamagedIsComplete holds that the corpus has no directory that nothing tests.
func TestDamagedIsComplete(t *testing.T) {
	files, err := os.ReadDir(filepath.Join("testdata", "damaged"))
	require.NoError(t, err)
	known := map[string]bool{}
	for _, c := range damagedStores() {
		known[c.name] = true
	}
	for _, f := range files {
		require.True(t, known[f.Name()], f.Name())
	}
	require.Len(t, files, len(known))
}
