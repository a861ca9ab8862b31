package segregated

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/alloc/alloctest"
	"github.com/memlab-go/memlab/arena"
)

// fileRegion returns a region of size bytes in the file, closed at the end.
func fileRegion(t testing.TB, path string, size int) *arena.Region {
	t.Helper()
	r, err := arena.Reserve(size, &arena.Options{Backing: arena.File, Path: path})
	if errors.Is(err, arena.ErrUnsupported) {
		t.Skip(err)
	}
	require.NoError(t, err)
	t.Cleanup(func() {
		if r.Bytes() != nil {
			r.Close()
		}
	})
	return r
}

// A list is a linked list inside a heap: the root is its first node, which
// holds the offset of the next, a number, and bytes that depend on it.
type list struct{ h *Heap }

// push adds a node of size bytes, at least 24.
func (l list) push(seq uint64, size int) error {
	b, err := l.h.Malloc(size)
	if err != nil {
		return err
	}
	next := uint64(0)
	if root := l.h.Root(); root != nil {
		next = uint64(l.h.Offset(root))
	}
	binary.LittleEndian.PutUint64(b, next)
	binary.LittleEndian.PutUint64(b[8:], seq)
	binary.LittleEndian.PutUint64(b[16:], uint64(size))
	set(b[24:], byte(seq))
	l.h.SetRoot(b)
	return nil
}

// pop removes the first node, if there is one.
func (l list) pop() error {
	root := l.h.Root()
	if root == nil {
		return nil
	}
	next, err := l.next(root)
	if err != nil {
		return err
	}
	l.h.SetRoot(next)
	l.h.Free(root)
	return nil
}

func (l list) next(b []byte) ([]byte, error) {
	if len(b) < 24 {
		return nil, fmt.Errorf("a node of %d bytes", len(b))
	}
	off := binary.LittleEndian.Uint64(b)
	if off == 0 {
		return nil, nil
	}
	return l.h.At(arena.Offset(off))
}

// verify walks the list and returns the numbers of its nodes.
func (l list) verify() (seqs []uint64, err error) {
	for b := l.h.Root(); b != nil; {
		next, err := l.next(b)
		if err != nil {
			return nil, err
		}
		seq, size := binary.LittleEndian.Uint64(b[8:]), binary.LittleEndian.Uint64(b[16:])
		if size > uint64(len(b)) {
			return nil, fmt.Errorf("node %d of %d bytes says it has %d", len(seqs), len(b), size)
		}
		if err := filled(b[24:size], byte(seq)); err != nil {
			return nil, fmt.Errorf("node %d: %w", seq, err)
		}
		seqs, b = append(seqs, seq), next
	}
	return seqs, nil
}

// TestReopen: a heap in a file is closed and opened at another address, with all
// that was in it, in every mode; and again, and again.
func TestReopen(t *testing.T) {
	for _, m := range []Mode{Fast, Checked, Guarded} {
		t.Run(m.String(), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "heap")
			rng := rand.New(rand.NewPCG(3, uint64(m)))
			var want []uint64
			var lastAddr uintptr
			for round := range 5 {
				r := fileRegion(t, path, 16<<20)
				var h *Heap
				var err error
				if round == 0 {
					_, err = Open(r, nil)
					require.ErrorIs(t, err, ErrNoHeap)
					h, err = New(r, &Options{Mode: m})
				} else {
					h, err = Open(r, &Options{ProfileRate: round % 2})
				}
				require.NoError(t, err)
				require.NotEqual(t, lastAddr, addrOf(h.mem), "another address")
				lastAddr = addrOf(h.mem)
				l := list{h}
				got, err := l.verify()
				require.NoError(t, err)
				require.Equal(t, want, got)
				require.NoError(t, h.Check())
				require.Equal(t, len(want), h.Stats().LiveBlocks)
				require.Equal(t, m != Fast, h.chk != nil)
				for range 300 {
					if rng.IntN(3) == 0 {
						require.NoError(t, l.pop())
					} else {
						require.NoError(t, l.push(rng.Uint64(), 24+rng.IntN(1<<rng.IntN(16))))
					}
				}
				require.NoError(t, alloctest.CheckStats(h.Stats()))
				want, err = l.verify()
				require.NoError(t, err)
				require.NoError(t, h.Close())
				size := r.Size()
				require.NoError(t, r.Close())
				filler, err := arena.Reserve(size, nil) // so that the next one lies elsewhere
				require.NoError(t, err)
				defer filler.Close()
			}
		})
	}
}

// TestReopenSame: closed and opened, a heap has the same blocks, free ones
// included, and freeing all of them leaves nothing.
func TestReopenSame(t *testing.T) {
	path := filepath.Join(t.TempDir(), "heap")
	r := fileRegion(t, path, 32<<20)
	h, err := New(r, nil)
	require.NoError(t, err)
	o := alloctest.NewOracle(h)
	for _, op := range alloctest.RandomOps(9, alloctest.Mix{Ops: 4000, MaxLive: 500, MaxSize: 60000}) {
		require.NoError(t, o.Do(op))
	}
	h.flushQuick() // as Close does
	h.parkRuns()
	before, stats := blocks(h), h.Stats()
	require.NoError(t, h.Close())
	require.NoError(t, r.Close())

	r = fileRegion(t, path, 64<<20) // more room than before
	h, err = Open(r, nil)
	require.NoError(t, err)
	require.Equal(t, before, blocks(h))
	after := h.Stats()
	require.Equal(t, stats.Live, after.Live)
	require.Equal(t, stats.LiveBlocks, after.LiveBlocks)
	require.LessOrEqual(t, after.Committed, stats.Committed)
	for _, b := range before {
		if b.Used {
			v, err := h.At(b.Off)
			require.NoError(t, err)
			require.Len(t, v, b.Size)
			h.Free(v)
		}
	}
	h.Trim()
	require.Zero(t, h.Stats().Retained)
	require.NoError(t, h.Check())
	require.NoError(t, h.Close())
}

// TestReopenZeroOnFree: a heap goes on clearing what is freed, or not, as it was
// made, whatever the options of Open say.
func TestReopenZeroOnFree(t *testing.T) {
	for _, m := range []Mode{Fast, Checked} {
		for _, zero := range []bool{false, true} {
			r := fileRegion(t, filepath.Join(t.TempDir(), "heap"), 4<<20)
			h, err := New(r, &Options{Mode: m, ZeroOnFree: zero})
			require.NoError(t, err)
			require.NoError(t, h.Close())
			h, err = Open(r, &Options{ZeroOnFree: !zero})
			require.NoError(t, err)
			for _, size := range []int{100, 5000} {
				b := must(t, h, size)
				set(b, 'x')
				off := at(h, b) + size/2
				h.Free(b)
				require.Equal(t, zero, h.mem[off] == 0, "%v, zero %v, size %d: %#x", m, zero, size, h.mem[off])
			}
			require.NoError(t, h.Close())
		}
	}
}

// TestReopenTraced: the call stacks of an earlier process are not known here, and
// are not taken for those of this one.
func TestReopenTraced(t *testing.T) {
	r := fileRegion(t, filepath.Join(t.TempDir(), "heap"), 4<<20)
	h, err := New(r, &Options{Mode: Checked, ProfileRate: 1})
	require.NoError(t, err)
	h.SetRoot(allocateThere(t, h, 1000))
	require.NoError(t, h.Close())

	h, err = Open(r, &Options{ProfileRate: 1})
	require.NoError(t, err)
	b := allocateHere(t, h, 10)
	sites := h.sites()
	require.Len(t, sites, 1)
	require.Equal(t, 10, sites[0].bytes)
	for _, tc := range []struct {
		b      []byte
		traced bool
	}{{h.Root(), false}, {b, true}} {
		h.Free(tc.b)
		f, ok := errors.AsType[*alloc.Fault](alloc.Try(func() { h.Free(tc.b) }))
		require.True(t, ok)
		require.Equal(t, tc.traced, f.AllocStack != nil)
		require.NotEmpty(t, f.FreeStack)
	}
	require.NoError(t, h.Close())
}

// TestOpenRefuses: what is no heap of this machine and version is refused with
// words that say why, and left alone.
func TestOpenRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "heap")
	r := fileRegion(t, path, 4<<20)
	h, err := New(r, nil)
	require.NoError(t, err)
	l := list{h}
	for i := range 200 {
		require.NoError(t, l.push(uint64(i), 24+i*10))
	}
	require.NoError(t, h.Close())
	require.NoError(t, r.Close())
	good, err := os.ReadFile(path)
	require.NoError(t, err)

	word := func(off int, f func(uint64) uint64) func([]byte) []byte {
		return func(b []byte) []byte {
			binary.NativeEndian.PutUint64(b[off:], f(binary.NativeEndian.Uint64(b[off:])))
			return b
		}
	}
	for _, tc := range []struct {
		name, says string
		want       error
		damage     func([]byte) []byte
	}{
		{"empty", "no heap", ErrNoHeap, func(b []byte) []byte { return nil }},
		{"zeros", "begins with 0x0", ErrNoHeap, func(b []byte) []byte { clear(b[:headerSize]); b[headerSize-1] = 1; return b }},
		{"other_data", "no heap", ErrNoHeap, word(0, func(uint64) uint64 { return 0x1234 })},
		{"short_text", "no heap", ErrNoHeap, func([]byte) []byte { return []byte("a text of somebody's") }},
		{"byte_order", "byte order", ErrFormat, word(0, func(m uint64) uint64 { return reverse(m) })},
		{"version", "version 77", ErrFormat, word(8, func(v uint64) uint64 {
			var w [8]byte
			binary.NativeEndian.PutUint64(w[:], v)
			binary.NativeEndian.PutUint32(w[:], 77)
			return binary.NativeEndian.Uint64(w[:])
		})},
		{"torn_header", "header", alloc.ErrCorrupt, func(b []byte) []byte { clear(b[2048:headerSize]); return b }},
		{"half_of_the_header", "torn", alloc.ErrCorrupt, func(b []byte) []byte { set(b[512:1024], 0xA5); return b }},
		{"flipped_root", "torn", alloc.ErrCorrupt, word(88, func(v uint64) uint64 { return v ^ 1 })},
		{"cut", "cut", alloc.ErrCorrupt, func(b []byte) []byte { return b[:len(b)/2] }},
		{"lost_tables", "start of a span", alloc.ErrCorrupt, func(b []byte) []byte { clear(b[headerSize : 64<<10]); return b }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "bad")
			bad := tc.damage(append([]byte(nil), good...))
			require.NoError(t, os.WriteFile(path, bad, 0o600))
			r := fileRegion(t, path, 4<<20)
			_, err := Open(r, nil)
			require.ErrorIs(t, err, tc.want)
			require.ErrorContains(t, err, tc.says)
			if tc.want == ErrNoHeap {
				after, err := os.ReadFile(path)
				require.NoError(t, err)
				require.True(t, bytes.Equal(bad, after), "somebody's file was changed")
			}
		})
	}
	t.Run("every_bit_of_the_header", func(t *testing.T) {
		step := 97
		if *long {
			step = 1
		}
		path := filepath.Join(t.TempDir(), "bad")
		used := binary.Size(header{})
		for bit := 0; bit < used*8; bit += step {
			b := append([]byte(nil), good...)
			b[bit/8] ^= 1 << (bit % 8)
			require.NoError(t, os.WriteFile(path, b, 0o600))
			r := fileRegion(t, path, 4<<20)
			_, err := Open(r, nil)
			require.Error(t, err, "bit %d", bit)
			require.NoError(t, r.Close())
		}
	})
	t.Run("region_too_small", func(t *testing.T) {
		copied := filepath.Join(t.TempDir(), "copy")
		require.NoError(t, os.WriteFile(copied, good, 0o600))
		r := fileRegion(t, copied, 2<<20)
		_, err := Open(r, nil)
		require.ErrorIs(t, err, ErrFormat)
		require.ErrorContains(t, err, "4194304")
	})
	t.Run("options", func(t *testing.T) {
		r := fileRegion(t, path, 4<<20)
		for _, o := range []Options{{Mode: Checked}, {Mode: Guarded}, {Classes: []int{16}}, {Classes: []int{}}} {
			_, err := Open(r, &o)
			require.ErrorIs(t, err, ErrFormat)
		}
		_, err := Open(r, &Options{Limit: -1})
		require.ErrorIs(t, err, alloc.ErrSize)
		_, err = Open(r, &Options{Limit: 4096})
		require.ErrorIs(t, err, alloc.ErrNoMemory)
		_, err = Open(nil, nil)
		require.ErrorIs(t, err, ErrNoHeap)
		plain, err := arena.Reserve(4<<20, nil)
		require.NoError(t, err)
		defer plain.Close()
		_, err = Open(plain, nil)
		require.ErrorIs(t, err, errors.ErrUnsupported)
		h, err := Open(r, &Options{Classes: DefaultClasses()})
		require.NoError(t, err, "nothing of that has changed the file")
		seqs, err := list{h}.verify()
		require.NoError(t, err)
		require.Len(t, seqs, 200)
		require.NoError(t, h.Close())
	})
}

// reverse swaps the bytes of a word.
func reverse(x uint64) uint64 {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], x)
	return binary.BigEndian.Uint64(b[:])
}

// TestRoot: offsets lead to blocks, and nothing else is led to.
func TestRoot(t *testing.T) {
	for _, m := range []Mode{Fast, Checked, Guarded} {
		h := freshIn(t, 8<<20, &arena.Options{}, &Options{Mode: m, Guard: GuardOptions{Every: 2}})
		require.Nil(t, h.Root())
		for _, size := range sizesOfAllKinds() {
			b := must(t, h, size)
			off := h.Offset(b)
			c, err := h.At(off)
			require.NoError(t, err)
			require.Equal(t, addrOf(b), addrOf(c))
			require.Len(t, c, h.Usable(b))
			h.SetRoot(b)
			require.Equal(t, addrOf(b), addrOf(h.Root()))
			for _, bad := range []arena.Offset{0, 1, off + 1, off + 16, off - 16, arena.Offset(len(h.mem)), 1 << 60} {
				_, err := h.At(bad)
				require.Error(t, err, "%v: %#x", m, bad)
			}
			require.Error(t, alloc.Try(func() { h.SetRoot(h.mem[at(h, b)+1:][:1]) }))
			h.Free(b)
			require.Nil(t, h.Root())
			_, err = h.At(off)
			require.ErrorIs(t, err, alloc.ErrDoubleFree)
			require.Error(t, alloc.Try(func() { h.Offset(b) }))
		}
		b := must(t, h, 10)
		h.SetRoot(b)
		h.SetRoot(nil)
		require.Nil(t, h.Root())
		h.Free(b)
		require.NoError(t, h.Close())
		_, err := h.At(64)
		require.ErrorIs(t, err, alloc.ErrClosed)
		require.Nil(t, h.Root())
		require.ErrorIs(t, alloc.Try(func() { h.SetRoot(nil) }), alloc.ErrClosed)
	}
}

// compact lets nodes and other blocks move, and changes the one word that refers to
// each.
func (l list) compact(churn *[churnBlocks][]byte) error {
	before := map[arena.Offset][]byte{} // by node: the one that refers to it
	for b := l.h.Root(); b != nil; {
		next, err := l.next(b)
		if err != nil {
			return err
		}
		if next != nil {
			before[l.h.Offset(next)] = b
		}
		b = next
	}
	_, err := l.h.Compact(100_000, func(from, to []byte) bool {
		old, now := l.h.Offset(from), l.h.Offset(to)
		if b, ok := before[old]; ok {
			binary.LittleEndian.PutUint64(b, uint64(now))
			delete(before, old)
			before[now] = b
			if next := binary.LittleEndian.Uint64(to); next != 0 {
				before[arena.Offset(next)] = to
			}
			return true
		}
		for i, b := range churn {
			if addrOf(b) == addrOf(from) {
				churn[i] = to[:len(b)]
			}
		}
		return true // a block that a killed process has lost, else
	})
	return err
}

// churnOne frees, grows or allocates one block that nobody refers to.
func churnOne(h *Heap, rng *rand.Rand, b *[]byte, size int) (err error) {
	switch {
	case *b == nil:
		*b, err = h.Malloc(size)
	case rng.IntN(2) == 0:
		*b, err = h.Realloc(*b, size)
	default:
		h.Free(*b)
		*b = nil
	}
	return err
}

// TestBlank: a block whose canary is written and whose record is not is known as one that Malloc
// has not returned, whatever the canary begins with.
func TestBlank(t *testing.T) {
	for seed := range uint64(400) {
		h := fresh(t, 256<<10, &Options{Mode: Checked, Classes: []int{}, Seed: 1000 + seed})
		core := uint64(addrOf(must(t, h, 24))-addrOf(h.mem)) - recordSize
		h.chk.erase(core)
		require.True(t, h.chk.blank(core), "seed %d", 1000+seed)
		h.fail("broken on purpose") // so that the end of the test does not check
	}
}
