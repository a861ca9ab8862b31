package lsm

import (
	"flag"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/lsm/vfs"
)

// walkKeys are the keys that the walks' stores are made of, and walkSeeks what the
// walks seek: every key, and every gap.
func walkKeys() []string  { return []string{"b", "d", "f", "h"} }
func walkSeeks() []string { return []string{"a", "b", "c", "d", "e", "f", "g", "h", "i"} }

// walkStores makes stores in which what is live lies in different places: versions
// and tombstones on several levels, in several memtables, and under range tombstones.
func walkStores() map[string]func(t *testing.T, d *DB) model {
	put := func(t *testing.T, d *DB, keys ...string) {
		for _, k := range keys {
			require.NoError(t, d.Put([]byte(k), []byte(k+" value")))
		}
	}
	remove := func(t *testing.T, d *DB, keys ...string) {
		for _, k := range keys {
			require.NoError(t, d.Delete([]byte(k)))
		}
	}
	live := func(keys ...string) model {
		m := model{}
		for _, k := range keys {
			m[k] = k + " value"
		}
		return m
	}
	return map[string]func(t *testing.T, d *DB) model{
		"empty":    func(*testing.T, *DB) model { return model{} },
		"memtable": func(t *testing.T, d *DB) model { put(t, d, walkKeys()...); return live(walkKeys()...) },
		"levels": func(t *testing.T, d *DB) model {
			put(t, d, walkKeys()...)
			require.NoError(t, d.CompactRange(nil, nil))
			remove(t, d, "b", "h")
			require.NoError(t, d.Flush())
			put(t, d, "b", "f")
			remove(t, d, "d")
			return live("b", "f")
		},
		"range tombstones": func(t *testing.T, d *DB) model {
			put(t, d, walkKeys()...)
			require.NoError(t, d.CompactRange(nil, nil))
			require.NoError(t, d.DeleteRange([]byte("c"), []byte("g")))
			put(t, d, "f")
			require.NoError(t, d.Flush())
			require.NoError(t, d.DeleteRange([]byte("a"), []byte("c")))
			return live("f", "h")
		},
		"all deleted": func(t *testing.T, d *DB) model {
			put(t, d, walkKeys()...)
			require.NoError(t, d.Flush())
			remove(t, d, walkKeys()...)
			return model{}
		},
	}
}

// A walkMove is one move of an iterator and of its model.
type walkMove struct {
	name  string
	real  func(it *Iterator) bool
	ideal func(w *modelIter) bool
}

func walkMoves() []walkMove {
	moves := []walkMove{
		{"First", (*Iterator).First, func(w *modelIter) bool { return w.to(0) }},
		{"Last", (*Iterator).Last, func(w *modelIter) bool { return w.to(len(w.keys) - 1) }},
		{"Next", (*Iterator).Next, func(w *modelIter) bool { return w.to(w.i + 1) }},
		{"Prev", (*Iterator).Prev, func(w *modelIter) bool { return w.to(w.i - 1) }},
	}
	for _, k := range walkSeeks() {
		moves = append(moves,
			walkMove{"SeekGE " + k, func(it *Iterator) bool { return it.SeekGE([]byte(k)) },
				func(w *modelIter) bool { return w.to(w.find(k)) }},
			walkMove{"SeekLT " + k, func(it *Iterator) bool { return it.SeekLT([]byte(k)) },
				func(w *modelIter) bool { return w.to(w.find(k) - 1) }})
	}
	return moves
}

// walkLength is how long the walks of TestEveryWalk are.
var walkLength = flag.Int("walk.length", 0, "moves of every walk over small stores; 0: 3, and 4 on one store; 2 with -short")

// TestEveryWalk makes every walk of up to three moves over small stores within every
// kind of bounds, and every walk of four over the store with most in it.
func TestEveryWalk(t *testing.T) {
	t.Parallel()
	for name, fill := range walkStores() {
		for _, b := range []struct {
			lower, upper string
		}{{"", ""}, {"d", ""}, {"", "f"}, {"c", "g"}, {"b", "b"}, {"e", "e\x00"}, {"x", "z"}} {
			t.Run(fmt.Sprintf("%s/%s-%s", name, b.lower, b.upper), func(t *testing.T) {
				length := 3
				switch {
				case *walkLength > 0:
					length = *walkLength
				case testing.Short():
					length = 2
				case name == "range tombstones" && b.lower == "c":
					length = 4
				}
				o := small(vfs.NewMem())
				o.MaxCompactions = -1
				d := mustOpen(t, o)
				m := fill(t, d)
				everyWalk(t, d, m, b.lower, b.upper, length)
				require.NoError(t, d.Close())
			})
		}
	}
}

func everyWalk(t *testing.T, d *DB, m model, lower, upper string, length int) {
	t.Helper()
	o := &IterOptions{}
	keys := m.keys()
	if lower != "" {
		o.LowerBound = []byte(lower)
		keys = slices.DeleteFunc(keys, func(k string) bool { return k < lower })
	}
	if upper != "" {
		o.UpperBound = []byte(upper)
		keys = slices.DeleteFunc(keys, func(k string) bool { return k >= upper })
	}
	moves := walkMoves()
	walk := make([]int, length)
	it, err := d.NewIter(o)
	require.NoError(t, err)
	for done := false; !done; {
		// A first move to an absolute place clears what an iterator did before.
		if length < 4 || moves[walk[0]].name == "Next" || moves[walk[0]].name == "Prev" {
			require.NoError(t, it.Close())
			it, err = d.NewIter(o)
			require.NoError(t, err)
		}
		ideal := &modelIter{keys: keys, i: -1}
		for i, move := range walk {
			got, want := moves[move].real(it), moves[move].ideal(ideal)
			if got != want || it.Valid() != want || it.Err() != nil ||
				want && (string(it.Key()) != keys[ideal.i] || string(it.Value()) != m[keys[ideal.i]]) {
				t.Fatalf("%s: %v %q, want %v at %d of %q; error %v", describeWalk(moves, walk[:i+1]), got, it.Key(), want, ideal.i, keys, it.Err())
			}
		}
		done = true
		for i := range walk { // the next walk
			if walk[i]++; walk[i] < len(moves) {
				done = false
				break
			}
			walk[i] = 0
		}
	}
	require.NoError(t, it.Close())
}

func describeWalk(moves []walkMove, walk []int) (s string) {
	for _, i := range walk {
		s += moves[i].name + ", "
	}
	return s
}
