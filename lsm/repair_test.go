package lsm

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/arena"
	"github.com/memlab-go/memlab/lsm/vfs"
)

func repairOptions(fs vfs.FS) *Options {
	return &Options{FS: fs, Backing: arena.GoHeap, WriteBufferSize: 16 << 10, BlockCacheSize: 256 << 10,
		TablesSize: 1 << 20, TargetFileSize: 16 << 10, MaxCompactions: -1}
}

// makeStore fills a store with several tables and a log, and returns its
// contents.
func makeStore(t *testing.T, fs vfs.FS) map[string]string {
	t.Helper()
	d, err := Open("db", repairOptions(fs))
	require.NoError(t, err)
	want := map[string]string{}
	put := func(i int, v string) {
		k := fmt.Sprintf("key%04d", i)
		require.NoError(t, d.Put([]byte(k), []byte(v)))
		want[k] = v
	}
	for round := range 4 {
		for i := range 300 {
			put((i*7+round*50)%600, fmt.Sprintf("value %d of round %d %s", i, round, strings.Repeat("x", i%50)))
		}
		for i := range 40 {
			k := fmt.Sprintf("key%04d", (i*13+round)%600)
			require.NoError(t, d.Delete([]byte(k)))
			delete(want, k)
		}
		if round == 1 {
			require.NoError(t, d.CompactRange(nil, nil))
			require.NoError(t, d.DeleteRange([]byte("key0100"), []byte("key0110")))
			for i := 100; i < 110; i++ {
				delete(want, fmt.Sprintf("key%04d", i))
			}
		}
		if round < 3 {
			require.NoError(t, d.Flush())
		}
	}
	require.NoError(t, d.Close())
	return want
}

func repaired(t *testing.T, fs vfs.FS) map[string]string {
	t.Helper()
	d, err := Open("db", repairOptions(fs))
	require.NoError(t, err)
	require.NoError(t, d.Check())
	got := map[string]string{}
	it, err := d.NewIter(nil)
	require.NoError(t, err)
	for ok := it.First(); ok; ok = it.Next() {
		got[string(it.Key())] = string(it.Value())
	}
	require.NoError(t, it.Close())
	require.NoError(t, d.Put([]byte("after"), []byte("repair")), "sequence numbers go on")
	v, err := d.Get([]byte("after"))
	require.NoError(t, err)
	require.Equal(t, "repair", string(v))
	require.NoError(t, d.Delete([]byte("after")))
	require.NoError(t, d.Close())
	return got
}

// names returns the files in the store with this suffix or prefix.
func filesWith(t *testing.T, fs vfs.FS, part string) []string {
	t.Helper()
	d, err := fs.OpenDir("db", false)
	require.NoError(t, err)
	all, err := d.List()
	require.NoError(t, err)
	return slices.DeleteFunc(all, func(s string) bool { return !strings.Contains(s, part) })
}

// edit rewrites a file.
func edit(t *testing.T, fs vfs.FS, name string, change func([]byte) []byte) {
	t.Helper()
	d, err := fs.OpenDir("db", false)
	require.NoError(t, err)
	f, err := d.Open(name)
	require.NoError(t, err)
	size, err := f.Size()
	require.NoError(t, err)
	b := make([]byte, size)
	if _, err := f.ReadAt(b, 0); err != io.EOF {
		require.NoError(t, err)
	}
	require.NoError(t, f.Close())
	w, err := d.Create(name)
	require.NoError(t, err)
	_, err = w.Write(change(b))
	require.NoError(t, err)
	require.NoError(t, w.Close())
}

func remove(t *testing.T, fs vfs.FS, name string) {
	t.Helper()
	d, err := fs.OpenDir("db", false)
	require.NoError(t, err)
	require.NoError(t, d.Remove(name))
}

func flip(at int) func([]byte) []byte {
	return func(b []byte) []byte {
		if at < 0 {
			at += len(b)
		}
		b[at] ^= 1
		return b
	}
}

// TestRepair damages a store in every way that loses no data: Open refuses or
// heals it, Repair brings everything back.
func TestRepair(t *testing.T) {
	for _, c := range []struct {
		name   string
		damage func(t *testing.T, fs vfs.FS)
		opens  bool // Open is content as it is
	}{
		{"nothing", func(*testing.T, vfs.FS) {}, true},
		{"CURRENT missing", func(t *testing.T, fs vfs.FS) { remove(t, fs, "CURRENT") }, false},
		{"CURRENT without newline", func(t *testing.T, fs vfs.FS) {
			edit(t, fs, "CURRENT", func(b []byte) []byte { return b[:len(b)-1] })
		}, false},
		{"CURRENT points to nothing", func(t *testing.T, fs vfs.FS) {
			edit(t, fs, "CURRENT", func([]byte) []byte { return []byte("MANIFEST-999999\n") })
		}, false},
		{"MANIFEST missing", func(t *testing.T, fs vfs.FS) { remove(t, fs, filesWith(t, fs, "MANIFEST")[0]) }, false},
		{"MANIFEST empty", func(t *testing.T, fs vfs.FS) {
			edit(t, fs, filesWith(t, fs, "MANIFEST")[0], func([]byte) []byte { return nil })
		}, false},
		{"MANIFEST flipped", func(t *testing.T, fs vfs.FS) { edit(t, fs, filesWith(t, fs, "MANIFEST")[0], flip(20)) }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			fs := vfs.NewMem()
			want := makeStore(t, fs)
			c.damage(t, fs)
			d, err := Open("db", repairOptions(fs))
			if c.opens {
				require.NoError(t, err)
				require.NoError(t, d.Close())
			} else {
				require.ErrorIs(t, err, ErrCorrupt)
				require.ErrorContains(t, err, "epair")
			}
			report, err := Repair("db", repairOptions(fs))
			require.NoError(t, err)
			require.False(t, report.Damaged())
			require.EqualValues(t, len(want), report.Entries)
			require.Equal(t, want, repaired(t, fs))
		})
	}
}

// TestRepairLosesOnlyDamage damages data: the report names it, what comes back
// is right or an older version, and nothing else is missing.
func TestRepairLosesOnlyDamage(t *testing.T) {
	for _, c := range []struct {
		name   string
		damage func(t *testing.T, fs vfs.FS)
		most   int // keys that may be lost or old
	}{
		{"data block", func(t *testing.T, fs vfs.FS) { edit(t, fs, filesWith(t, fs, ".ldb")[0], flip(100)) }, 120},
		{"footer", func(t *testing.T, fs vfs.FS) { edit(t, fs, filesWith(t, fs, ".ldb")[0], flip(-1)) }, 0},
		{"log", func(t *testing.T, fs vfs.FS) { edit(t, fs, filesWith(t, fs, ".log")[0], flip(3000)) }, 3},
		{"log cut", func(t *testing.T, fs vfs.FS) {
			edit(t, fs, filesWith(t, fs, ".log")[0], func(b []byte) []byte { return b[:len(b)-3] })
		}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			fs := vfs.NewMem()
			want := makeStore(t, fs)
			c.damage(t, fs)
			report, err := Repair("db", repairOptions(fs))
			require.NoError(t, err)
			require.True(t, report.Damaged())
			require.NotEmpty(t, report.Lost)
			for _, name := range report.Lost {
				require.True(t, strings.HasPrefix(name, lostDir+"/"))
			}
			got := repaired(t, fs)
			differ := 0
			for _, k := range slices.Collect(maps.Keys(want)) {
				if got[k] != want[k] {
					differ++
				}
			}
			require.LessOrEqual(t, differ, c.most)
			again, err := Repair("db", repairOptions(fs))
			require.NoError(t, err)
			require.False(t, again.Damaged(), "what was damaged is out of the way")
			require.Equal(t, got, repaired(t, fs))
		})
	}
}

func TestRepairRefuses(t *testing.T) {
	fs := vfs.NewMem()
	_, err := Repair("db", repairOptions(fs))
	require.ErrorIs(t, err, errNotExist)
	makeStore(t, fs)
	d, err := Open("db", repairOptions(fs))
	require.NoError(t, err)
	_, err = Repair("db", repairOptions(fs))
	require.ErrorIs(t, err, ErrLocked)
	require.NoError(t, d.Close())
	o := repairOptions(fs)
	o.Comparer = &Comparer{Name: "other", Compare: BytewiseComparer().Compare}
	_, err = Repair("db", o)
	require.ErrorIs(t, err, ErrOptions)
}

// TestRepairIsRepeatable stops Repair at every call in turn: a second one, run on
// what a crash leaves, still brings everything back.
func TestRepairIsRepeatable(t *testing.T) {
	base := vfs.NewMem()
	want := makeStore(t, base)
	remove(t, base, "CURRENT")
	step := int64(1)
	if testing.Short() {
		step = 7
	}
	for n := int64(1); ; n += step {
		mem := base.CrashClone(1, 1)
		in := vfs.NewInjector(mem)
		in.Decide(vfs.FailFrom(n, io.ErrUnexpectedEOF))
		if _, err := Repair("db", repairOptions(in)); err == nil {
			require.Greater(t, n, int64(50))
			return
		}
		left := mem.CrashClone(0.5, uint64(n))
		_, err := Repair("db", repairOptions(left))
		require.NoError(t, err, "call %d", n)
		require.Equal(t, want, repaired(t, left), "call %d", n)
	}
}
