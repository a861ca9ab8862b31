package lsm

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/memlab-go/memlab/lsm/vfs"
)

// A metaOp is one step of a history that is run on many stores.
type metaOp struct {
	kind  string
	a, b  string // keys
	value string
	i     int // of a snapshot; of a durability
	batch []metaOp
	moves []string // of an iterator
}

// drawMetaOp draws a step. Steps that only change how the store works are among them.
func drawMetaOp(t *rapid.T) metaOp {
	op := metaOp{kind: rapid.SampledFrom([]string{"put", "put", "put", "delete", "delete", "range", "batch", "batch",
		"get", "walk", "walk", "snapshot", "snapget", "drop", "flush", "compact", "reopen", "checkpoint"}).Draw(t, "kind"),
		a: drawKey(t, "a"), b: drawKey(t, "b"), i: rapid.IntRange(0, 2).Draw(t, "i")}
	switch op.kind {
	case "put":
		op.value = drawValue(t)
	case "batch":
		for range rapid.IntRange(1, 20).Draw(t, "n") {
			op.batch = append(op.batch, metaOp{kind: rapid.SampledFrom([]string{"put", "put", "delete", "range"}).Draw(t, "in"),
				a: drawKey(t, "a"), b: drawKey(t, "b"), value: drawValue(t)})
		}
	case "walk":
		op.moves = rapid.SliceOfN(rapid.SampledFrom([]string{"first", "last", "ge", "lt", "next", "next", "prev", "prev"}), 1, 12).Draw(t, "moves")
	}
	return op
}

// A metaRun is one store that a history is run on, and what it answered.
type metaRun struct {
	t    *rapid.T
	opts Options
	fs   *vfs.Mem
	d    *DB
	snap [3]*Snapshot
	said []string
}

// runMeta runs a history under some options. noise is asked, before each step, for
// something that must not change any answer.
func runMeta(t *rapid.T, opts Options, ops []metaOp, noise func() string) []string {
	r := &metaRun{t: t, opts: opts, fs: vfs.NewMem()}
	r.open()
	for i, op := range ops {
		r.noise(noise())
		r.said = append(r.said, fmt.Sprintf("%d %s %s %s: %s", i, op.kind, op.a, op.b, r.step(op)))
	}
	r.drop()
	require.NoError(t, r.d.Check())
	require.NoError(t, r.d.Close())
	return r.said
}

func (r *metaRun) open() {
	o := r.opts
	o.FS = r.fs
	d, err := Open("db", &o)
	require.NoError(r.t, err)
	r.d = d
}

// drop closes all snapshots.
func (r *metaRun) drop() {
	for i, s := range r.snap {
		if s != nil {
			require.NoError(r.t, s.Close())
			r.snap[i] = nil
		}
	}
}

func (r *metaRun) noise(what string) {
	switch fresh := []byte("zz fresh"); what {
	case "pair":
		require.NoError(r.t, r.d.Put(fresh, fresh))
		require.NoError(r.t, r.d.Delete(fresh))
	case "range":
		require.NoError(r.t, r.d.Put(fresh, fresh))
		require.NoError(r.t, r.d.DeleteRange([]byte("zz"), []byte("zzz")))
	case "flush":
		require.NoError(r.t, r.d.Flush())
	case "compact":
		require.NoError(r.t, r.d.CompactRange(nil, nil))
	case "iterator":
		it, err := r.d.NewIter(nil)
		require.NoError(r.t, err)
		it.First()
		require.NoError(r.t, it.Close())
	}
}

func (r *metaRun) step(op metaOp) string {
	switch op.kind {
	case "put":
		return fmt.Sprint(r.d.Put([]byte(op.a), []byte(op.value)))
	case "delete":
		return fmt.Sprint(r.d.Delete([]byte(op.a)))
	case "range":
		return fmt.Sprint(r.d.DeleteRange([]byte(op.a), []byte(op.b)))
	case "batch":
		return r.batch(op)
	case "get":
		return r.get(r.d, op.a)
	case "walk":
		return r.walk(op)
	case "snapshot":
		return r.snapshot(op.i)
	case "snapget":
		if s := r.snap[op.i]; s != nil {
			return r.get(s, op.a)
		}
	case "drop":
		if s := r.snap[op.i]; s != nil {
			r.snap[op.i] = nil
			return fmt.Sprint(s.Close())
		}
	case "flush":
		return fmt.Sprint(r.d.Flush())
	case "compact":
		return fmt.Sprint(r.d.CompactRange([]byte(min(op.a, op.b)), []byte(max(op.a, op.b))))
	case "reopen":
		r.drop()
		require.NoError(r.t, r.d.Close())
		r.open()
	case "checkpoint":
		return r.checkpoint()
	}
	return ""
}

func (r *metaRun) batch(op metaOp) string {
	var b Batch
	for _, x := range op.batch {
		switch x.kind {
		case "put":
			b.Put([]byte(x.a), []byte(x.value))
		case "delete":
			b.Delete([]byte(x.a))
		case "range":
			b.DeleteRange([]byte(x.a), []byte(x.b))
		}
	}
	return fmt.Sprint(r.d.Apply(&b, &WriteOptions{Durability: Durability(op.i)}))
}

func (r *metaRun) get(g getterOf, key string) string {
	v, err := g.Get([]byte(key))
	return fmt.Sprintf("%q %v", v, err)
}

func (r *metaRun) snapshot(i int) string {
	if r.snap[i] != nil {
		return "taken"
	}
	s, err := r.d.NewSnapshot()
	r.snap[i] = s
	return fmt.Sprint(err)
}

// walk moves an iterator over the store or a snapshot, within bounds, and tells what
// it stands on.
func (r *metaRun) walk(op metaOp) string {
	g := getterOf(r.d)
	if s := r.snap[op.i]; s != nil {
		g = s
	}
	o := &IterOptions{LowerBound: []byte(min(op.a, op.b))}
	if op.i != 1 {
		o.UpperBound = []byte(max(op.a, op.b))
	}
	it, err := g.NewIter(o)
	require.NoError(r.t, err)
	var out strings.Builder
	for i, m := range op.moves {
		key := []byte(fmt.Sprintf("k%02d", (i*7+len(op.moves)*5)%41))
		ok := false
		switch m {
		case "first":
			ok = it.First()
		case "last":
			ok = it.Last()
		case "ge":
			ok = it.SeekGE(key)
		case "lt":
			ok = it.SeekLT(key)
		case "next":
			ok = it.Next()
		case "prev":
			ok = it.Prev()
		}
		fmt.Fprintf(&out, "%s %v %q=%q; ", m, ok, it.Key(), it.Value())
	}
	require.NoError(r.t, it.Close())
	return out.String()
}

// checkpoint opens a copy of the store and tells what is in it.
func (r *metaRun) checkpoint() string {
	name := fmt.Sprintf("copy%d", len(r.said))
	if err := r.d.Checkpoint(name); err != nil {
		return err.Error()
	}
	m, err := readAll(name, &Options{FS: r.fs, WriteBufferSize: 64 << 10, BlockCacheSize: 64 << 10, TablesSize: 256 << 10, MaxCompactions: -1})
	require.NoError(r.t, err)
	var out strings.Builder
	for _, k := range m.keys() {
		fmt.Fprintf(&out, "%q=%q ", k, m[k])
	}
	return out.String()
}

// TestMetamorphic runs one history on stores of different options and memory, with
// and without steps in between that change nothing. All must answer alike.
func TestMetamorphic(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 150).Draw(t, "n")
		ops := rapid.SliceOfN(rapid.Custom(drawMetaOp), n, n).Draw(t, "ops")
		quiet := func() string { return "" }
		plain := Options{WriteBufferSize: 1 << 20, BlockCacheSize: 1 << 20, TablesSize: 1 << 20, MaxCompactions: -1}
		want := runMeta(t, plain, ops, quiet)
		for range 3 {
			o := drawOptions(t)
			o.setBacking(rapid.SampledFrom(backings()).Draw(t, "memory"))
			noise := quiet
			if rapid.Bool().Draw(t, "noisy") {
				noise = func() string {
					return rapid.SampledFrom([]string{"", "", "", "pair", "range", "flush", "compact", "iterator"}).Draw(t, "noise")
				}
			}
			if diff := cmp.Diff(want, runMeta(t, o, ops, noise)); diff != "" {
				t.Fatalf("answers differ (-plain +other):\n%s", diff)
			}
		}
	})
}
