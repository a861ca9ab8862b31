//go:build unix

package lsm

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// oracleDir names a directory with programs that others wrote: verify.sh DIR
// EXPECT.json holds a directory of ours against every other reader, make_all.sh OUT
// makes databases, whole and damaged, with every other writer. testdata/oracle.sh
// passes it.
var oracleDir = flag.String("oracle", "", "directory of the oracle programs")

// expectation is what a database must hold, and how it came to.
type expectation struct {
	Entries []expectedEntry `json:"entries"`
	History []expectedEntry `json:"history,omitempty"`
}

type expectedEntry struct {
	Op string `json:"op,omitempty"`
	K  string `json:"k"`
	V  string `json:"v"`
}

func (e *expectation) model(t *testing.T) model {
	t.Helper()
	m := model{}
	for _, x := range e.Entries {
		m[unhex(t, x.K)] = unhex(t, x.V)
	}
	return m
}

// values lists every value that a key ever had.
func (e *expectation) values(t *testing.T) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	for _, x := range slices.Concat(e.Entries, e.History) {
		k := unhex(t, x.K)
		out[k] = append(out[k], unhex(t, x.V))
	}
	return out
}

func oracle(name string, args ...string) (out string, err error) {
	b, err := exec.Command("sh", append([]string{filepath.Join(*oracleDir, name)}, args...)...).CombinedOutput()
	return string(b), err
}

// verify holds a directory against every other reader. goleveldb compresses the
// metaindex, which sst_dump cannot bear: it may fail on one of the tables in theirs.
func verify(t *testing.T, dir string, m model, theirs ...string) {
	t.Helper()
	e := expectation{Entries: []expectedEntry{}}
	for _, k := range m.keys() {
		e.Entries = append(e.Entries, expectedEntry{K: hex.EncodeToString([]byte(k)), V: hex.EncodeToString([]byte(m[k]))})
	}
	b, err := json.Marshal(e)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "expect.json")
	require.NoError(t, os.WriteFile(path, b, 0o600))
	out, err := oracle("verify.sh", dir, path)
	out = "\n" + out
	t.Logf("%d entries%s", len(m), out)
	if err == nil {
		return
	}
	for _, reader := range []string{"goleveldb default", "leveldb 1.23 (C++)", "plyvel", "leveldb DumpFile log/manifest"} {
		require.Contains(t, out, fmt.Sprintf("\n%-28s OK", reader))
	}
	_, verdict, _ := strings.Cut(out, fmt.Sprintf("\n%-28s FAIL ", "rocksdb sst_dump verify"))
	name, _, _ := strings.Cut(verdict, ":")
	require.Contains(t, theirs, name, out)
}

// TestOracleReads has every other reader read what was written here.
func TestOracleReads(t *testing.T) {
	if *oracleDir == "" {
		t.Skip("no -oracle")
	}
	h := pointHistory()
	for _, c := range []struct {
		name string
		set  func(*Options)
		end  func(t *testing.T, d *DB, m model) // the last work before Close
	}{
		{"snappy", func(o *Options) { o.Compression = Snappy }, nil},
		{"raw", func(o *Options) { o.Compression = None }, nil},
		{"no filter", func(o *Options) { o.BloomBitsPerKey = -1 }, nil},
		{"large filter", func(o *Options) { o.BloomBitsPerKey = 22.5 }, nil},
		{"blocks of one entry", func(o *Options) { o.BlockSize, o.BlockRestartInterval = 1, 1 }, nil},
		{"log only", func(o *Options) { o.WriteBufferSize = 8 << 20 }, nil},
		{"level 0 only", func(o *Options) { o.MaxCompactions = -1 }, nil},
		{"in place", func(o *Options) { o.InPlaceUpdate = true }, nil},
		{"flushed", nil, func(t *testing.T, d *DB, _ model) { require.NoError(t, d.Flush()) }},
		{"compacted", nil, func(t *testing.T, d *DB, _ model) { require.NoError(t, d.CompactRange(nil, nil)) }},
		{"range deleted, compacted", nil, func(t *testing.T, d *DB, m model) {
			require.NoError(t, d.DeleteRange([]byte("key0100"), []byte("key0300")))
			m.deleteRange("key0100", "key0300")
			require.NoError(t, d.CompactRange(nil, nil))
		}},
		{"ingested", nil, oracleIngest},
		{"ingested last", nil, func(t *testing.T, d *DB, m model) {
			oracleIngest(t, d, m)
			oracleIngest(t, d, m)
			require.NoError(t, d.Delete([]byte("key0002")))
			delete(m, "key0002")
			path := filepath.Join(t.TempDir(), "one.ldb")
			writeTableFile(t, path, 1, nil)
			require.NoError(t, d.IngestTable(path))
			m["key00000"] = "value 0"
		}},
		{"odd keys and large values", nil, oracleOdd},
		{"emptied", nil, func(t *testing.T, d *DB, m model) {
			for k := range maps.Keys(m) {
				require.NoError(t, d.Delete([]byte(k)))
			}
			clear(m)
		}},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "_"), func(t *testing.T) {
			o := small(nil)
			o.WriteBufferSize, o.TargetFileSize, o.LevelSize = 32<<10, 32<<10, 64<<10
			if c.set != nil {
				c.set(o)
			}
			dir := t.TempDir()
			const n = 2000
			for from := 0; from < n; from += n / 2 { // opened twice
				d, err := Open(dir, o)
				require.NoError(t, err)
				for i := from + 1; i <= from+n/2; i++ {
					var b Batch
					h.add(&b, i)
					require.NoError(t, d.Apply(&b, nil))
				}
				if m := h.state(n); from > 0 {
					if c.end != nil {
						c.end(t, d, m)
					}
					require.NoError(t, d.Close())
					verify(t, dir, m)
					break
				}
				require.NoError(t, d.Close())
			}
		})
	}
	t.Run("killed", func(t *testing.T) {
		for _, level := range []Durability{OS, Sync} {
			dir := t.TempDir()
			for range 3 {
				killOnce(t, dir, level, killPoints, 300*time.Millisecond)
			}
			copied := t.TempDir() // what state it is in is found out in a copy
			require.NoError(t, os.CopyFS(copied, os.DirFS(dir)))
			d, err := Open(copied, small(nil))
			require.NoError(t, err)
			n := h.check(t, d)
			require.NoError(t, d.Close())
			require.Positive(t, n)
			verify(t, dir, h.state(n))
			verify(t, copied, h.state(n))
		}
	})
	t.Run("checkpoint_and_repaired", func(t *testing.T) {
		dir, to := t.TempDir(), filepath.Join(t.TempDir(), "copy")
		d, err := Open(dir, small(nil))
		require.NoError(t, err)
		for i := 1; i <= 500; i++ {
			var b Batch
			h.add(&b, i)
			require.NoError(t, d.Apply(&b, nil))
		}
		require.NoError(t, d.Checkpoint(to))
		require.NoError(t, d.Close())
		verify(t, to, h.state(500))
		require.NoError(t, os.Remove(filepath.Join(dir, "CURRENT")))
		_, err = Repair(dir, small(nil))
		require.NoError(t, err)
		verify(t, dir, h.state(500))
	})
}

func oracleIngest(t *testing.T, d *DB, m model) {
	path := filepath.Join(t.TempDir(), "in.ldb")
	w, err := NewTableWriter(path, nil)
	require.NoError(t, err)
	for i := range 300 {
		k, v := fmt.Sprintf("key%04d", 2*i), fmt.Sprintf("taken in %d", i)
		require.NoError(t, w.Put([]byte(k), []byte(v)))
		m[k] = v
	}
	_, err = w.Finish()
	require.NoError(t, err)
	require.NoError(t, d.IngestTable(path))
	require.NoError(t, d.Put([]byte("key0002"), []byte("written after")))
	m["key0002"] = "written after"
}

func oracleOdd(t *testing.T, d *DB, m model) {
	for _, k := range []string{"", "\x00", "\x00\x00", "\xff", "\xff\xff\xff", "key\x00", strings.Repeat("long", 5000)} {
		for _, size := range []int{0, 1, 70_000} {
			key := k + strings.Repeat("\xff", size%7)
			value := bytes.Repeat([]byte{byte(len(k))}, size)
			require.NoError(t, d.Put([]byte(key), value))
			m[key] = string(value)
		}
	}
}

// TestOracleWrites reads what every other writer wrote, takes it over, and has the
// others read it again.
func TestOracleWrites(t *testing.T) {
	if *oracleDir == "" {
		t.Skip("no -oracle")
	}
	out := t.TempDir()
	said, err := oracle("make_all.sh", out)
	require.NoError(t, err, said)
	found, err := filepath.Glob(filepath.Join(out, "*", "expect.json"))
	require.NoError(t, err)
	require.Len(t, found, 7)
	for _, file := range found {
		dir := filepath.Join(filepath.Dir(file), "db")
		t.Run(filepath.Base(filepath.Dir(file)), func(t *testing.T) {
			m := readExpectation(t, file).model(t)
			tables, err := filepath.Glob(filepath.Join(dir, "*.ldb"))
			require.NoError(t, err)
			for i := range tables {
				tables[i] = filepath.Base(tables[i])
			}
			for _, mode := range []RecoveryMode{Strict, TornTail, PointInTime, Salvage} {
				got, err := readAll(dir, &Options{ReadOnly: true, Recovery: mode})
				require.NoError(t, err)
				require.Equal(t, m, got, mode)
			}
			d, err := Open(dir, small(nil))
			require.NoError(t, err)
			require.NoError(t, d.Check())
			require.NoError(t, d.Put([]byte("ours"), []byte("too")))
			m["ours"] = "too"
			require.NoError(t, d.Close())
			verify(t, dir, m, tables...)
			d, err = Open(dir, small(nil))
			require.NoError(t, err)
			require.NoError(t, d.CompactRange(nil, nil))
			require.NoError(t, d.Close())
			verify(t, dir, m, tables...)
		})
	}
	t.Run("damage", func(t *testing.T) { testOracleDamage(t, out) })
}

func readExpectation(t *testing.T, file string) *expectation {
	t.Helper()
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	e := new(expectation)
	require.NoError(t, json.Unmarshal(b, e))
	return e
}

// A damageRow says what must become of one kind of damage.
type damageRow struct {
	kind     string
	opens    bool // Open and a walk are content
	lost     int  // entries missing then; -1: any
	repaired bool // Repair brings everything back
}

// testOracleDamage opens, reads and repairs every kind of damage. C++ LevelDB's
// own repair is the yardstick, but for the flip in a log: it does not look at the
// checksum of a log record (repair.cc says "do not checksum"), and brings back all
// keys, one of them with a value that was never written.
func testOracleDamage(t *testing.T, out string) {
	e := readExpectation(t, filepath.Join(out, "goleveldb", "expect.json"))
	want, ever := e.model(t), e.values(t)
	delete(want, "ours")
	for _, c := range []damageRow{
		{"walcut", true, 1, false}, {"walzero", true, 0, true}, {"walgarbage", true, 0, true}, {"walflip", false, 0, false},
		{"blockflip", false, 0, false}, {"indexflip", false, 0, false}, {"footerflip", false, 0, false},
		{"tablecut", false, 0, false}, {"tablemissing", false, 0, false},
		{"nomanifest", false, 0, true}, {"nocurrent", false, 0, true}, {"badcurrent", false, 0, true},
		{"manifestcut", false, 0, true}, {"manifestflip", false, 0, true}, {"tmpleft", true, 0, true},
	} {
		t.Run(c.kind, func(t *testing.T) {
			dir := filepath.Join(out, "corrupt", c.kind, "db")
			before := dirContents(t, dir)
			got, err := readAll(dir, &Options{ReadOnly: true})
			if c.opens {
				require.NoError(t, err)
				require.Len(t, got, len(want)-c.lost)
			} else {
				require.ErrorIs(t, err, ErrCorrupt)
			}
			t.Logf("open: %d entries, %v", len(got), err)
			for _, mode := range []RecoveryMode{Strict, PointInTime, Salvage} {
				got, err := readAll(dir, &Options{ReadOnly: true, Recovery: mode})
				t.Logf("%v: %d entries, %v", mode, len(got), err)
				requireEver(t, ever, got)
			}
			require.Equal(t, before, dirContents(t, dir), "a read-only store changes nothing")
			testOracleRepair(t, out, c, want, ever)
		})
	}
}

func testOracleRepair(t *testing.T, out string, c damageRow, want model, ever map[string][]string) {
	dir := filepath.Join(out, "corrupt", c.kind, "db")
	report, err := Repair(dir, nil)
	require.NoError(t, err)
	got, err := readAll(dir, nil)
	require.NoError(t, err)
	requireEver(t, ever, got)
	require.EqualValues(t, len(got), report.Entries)
	if c.repaired {
		require.Equal(t, want, got)
	} else {
		require.True(t, report.Damaged())
	}
	least := cppRepaired(t, filepath.Join(out, "corrupt", c.kind, "oracle.txt"))
	t.Logf("repaired: %d entries, C++ LevelDB %d", len(got), least)
	if c.kind == "walflip" {
		least--
	}
	require.GreaterOrEqual(t, len(got), least)
	verify(t, dir, got)
}

// requireEver holds that no value was invented.
func requireEver(t *testing.T, ever map[string][]string, got model) {
	t.Helper()
	for k, v := range got {
		require.Contains(t, ever[k], v, "%q", k)
	}
}

// cppRepaired reads how many entries C++ LevelDB's repair kept.
func cppRepaired(t *testing.T, file string) (n int) {
	t.Helper()
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "c++-repair"); ok {
			_, err := fmt.Sscanf(strings.TrimSpace(rest), "opened entries=%d", &n)
			require.NoError(t, err)
		}
	}
	require.Positive(t, n)
	return n
}

// dirContents reads every file in a directory.
func dirContents(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	require.NoError(t, fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(filepath.Join(dir, path))
		out[path] = string(b)
		return err
	}))
	return out
}
