package lsm

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/arena"
	"github.com/memlab-go/memlab/lsm/internal/filename"
	"github.com/memlab-go/memlab/lsm/vfs"
)

// goldenVersion names the format of this release. A release that changes it adds a
// directory to testdata/golden and leaves the others, which must open for ever.
const goldenVersion = "v1"

// rewriting reports whether the tests write their golden files anew.
func rewriting() bool { return flag.Lookup("rewrite").Value.String() == "true" }

// goldenStores makes the stores of testdata/golden.
func goldenStores() map[string]func(t *testing.T, fs vfs.FS) model {
	return map[string]func(t *testing.T, fs vfs.FS) model{
		"plain": func(t *testing.T, fs vfs.FS) model { // what LevelDB's own tools read
			return makeGolden(t, &Options{FS: fs}, history{keys: 120, size: 30, points: true})
		},
		"raw": func(t *testing.T, fs vfs.FS) model {
			return makeGolden(t, &Options{FS: fs, Compression: None, BloomBitsPerKey: -1, BlockRestartInterval: 1},
				history{keys: 120, size: 30, points: true})
		},
		"extended": func(t *testing.T, fs vfs.FS) model { // zstd and range tombstones
			return makeGolden(t, &Options{FS: fs, Compression: Zstd}, history{keys: 120, size: 30})
		},
	}
}

// makeGolden fills a store: tables on two levels, and a log.
func makeGolden(t *testing.T, o *Options, h history) model {
	t.Helper()
	o.Backing, o.BlockSize, o.TargetFileSize, o.MaxCompactions = arena.GoHeap, 512, 2<<10, -1
	d := mustOpen(t, o)
	for i := 1; i <= 260; i++ {
		var b Batch
		h.add(&b, i)
		require.NoError(t, d.Apply(&b, nil))
		switch i {
		case 120:
			require.NoError(t, d.CompactRange(nil, nil))
		case 180, 240:
			require.NoError(t, d.Flush())
		}
	}
	require.NoError(t, d.Close())
	return h.state(260)
}

// TestGoldenStores opens the stores that every released version wrote, and uses
// them. With -rewrite it writes those of this version.
func TestGoldenStores(t *testing.T) {
	if rewriting() {
		for name, mk := range goldenStores() {
			fs := vfs.NewMem()
			m := mk(t, fs)
			dir := filepath.Join("testdata", "golden", goldenVersion, name)
			saveDir(t, fs, filepath.Join(dir, "db"))
			saveModel(t, m, filepath.Join(dir, "expect.jsonl"))
		}
	}
	found, err := filepath.Glob(filepath.Join("testdata", "golden", "*", "*"))
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(found), len(goldenStores()))
	for _, dir := range found {
		t.Run(filepath.ToSlash(dir), func(t *testing.T) {
			want := loadModel(t, filepath.Join(dir, "expect.jsonl"))
			for _, backing := range []arena.Backing{arena.Mmap, arena.GoHeap} {
				for _, mmap := range []bool{false, true} {
					fs := loadDir(t, filepath.Join(dir, "db"))
					useGolden(t, &Options{FS: fs, Backing: backing, MmapTables: mmap, Recovery: Strict}, want)
				}
			}
		})
	}
}

// useGolden reads a store that an older version wrote, in every way, then writes to
// it, compacts it and reads it again.
func useGolden(t *testing.T, o *Options, want model) {
	t.Helper()
	o.ReadOnly = true
	for _, readOnly := range []bool{true, false} {
		o.ReadOnly = readOnly
		d := mustOpen(t, o)
		require.Equal(t, want, contentsOf(t, d))
		for k, v := range want {
			got, err := d.Get([]byte(k))
			require.NoError(t, err)
			require.Equal(t, v, string(got))
		}
		_, err := d.Get([]byte("none"))
		require.ErrorIs(t, err, ErrNotFound)
		require.NoError(t, d.Check())
		require.NoError(t, d.Close())
	}
	d := mustOpen(t, o)
	require.NoError(t, d.Put([]byte("key0001"), []byte("new")))
	require.NoError(t, d.CompactRange(nil, nil))
	changed := model{"key0001": "new"}
	for k, v := range want {
		if k != "key0001" {
			changed[k] = v
		}
	}
	require.Equal(t, changed, contentsOf(t, d))
	require.NoError(t, d.Check())
	require.NoError(t, d.Close())
}

// contentsOf walks a store.
func contentsOf(t testing.TB, d *DB) model {
	t.Helper()
	m := model{}
	it, err := d.NewIter(nil)
	require.NoError(t, err)
	for k, v := range it.All() {
		m[string(k)] = string(v)
	}
	require.NoError(t, it.Close())
	return m
}

// loadDir copies a directory into memory, as "db".
func loadDir(t testing.TB, path string) *vfs.Mem {
	t.Helper()
	fs := vfs.NewMem()
	_, err := fs.OpenDir("db", true)
	require.NoError(t, err)
	files, err := os.ReadDir(path)
	require.NoError(t, err)
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(path, f.Name()))
		require.NoError(t, err)
		rewrite(t, fs, f.Name(), b)
	}
	return fs
}

// saveDir writes the directory "db" of fs to path, without its lock file.
func saveDir(t testing.TB, fs vfs.FS, path string) {
	t.Helper()
	require.NoError(t, os.RemoveAll(path))
	require.NoError(t, os.MkdirAll(path, 0o755))
	dir, err := fs.OpenDir("db", false)
	require.NoError(t, err)
	all, err := dir.List()
	require.NoError(t, err)
	for _, name := range all {
		if name != filename.LockName {
			require.NoError(t, os.WriteFile(filepath.Join(path, name), contents(t, fs, name), 0o644))
		}
	}
}

// saveModel writes a model as `memlab lsm dump` writes a store.
func saveModel(t testing.TB, m model, path string) {
	t.Helper()
	var out bytes.Buffer
	for _, k := range m.keys() {
		fmt.Fprintf(&out, "{\"k\":\"%x\",\"v\":\"%x\"}\n", k, m[k])
	}
	require.NoError(t, os.WriteFile(path, out.Bytes(), 0o644))
}

func loadModel(t testing.TB, path string) model {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	m := model{}
	for sc := bufio.NewScanner(bytes.NewReader(b)); sc.Scan(); {
		var e struct{ K, V string }
		require.NoError(t, json.Unmarshal(sc.Bytes(), &e))
		m[unhex(t, e.K)] = unhex(t, e.V)
	}
	require.NotEmpty(t, m)
	return m
}

func unhex(t testing.TB, s string) string {
	t.Helper()
	b, err := hex.DecodeString(s)
	require.NoError(t, err)
	return string(b)
}

// readAll opens a store, walks it and closes it.
func readAll(dir string, o *Options) (model, error) {
	d, err := Open(dir, o)
	if err != nil {
		return nil, err
	}
	m := model{}
	it, err := d.NewIter(nil)
	if err == nil {
		for k, v := range it.All() {
			m[string(k)] = string(v)
		}
		err = it.Close()
	}
	return m, errors.Join(err, d.Close())
}
