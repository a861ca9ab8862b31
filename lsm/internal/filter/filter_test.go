package filter

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestHash holds values of LevelDB's own test (util/hash_test.cc), which uses
// the same seed.
func TestHash(t *testing.T) {
	for _, c := range []struct {
		key  []byte
		want uint32
	}{
		{nil, 0xbc9f1d34},
		{[]byte{0x62}, 0xef1345c4},
		{[]byte{0xc3, 0x97}, 0x5b663814},
		{[]byte{0xe2, 0x99, 0xa5}, 0x323c078f},
		{[]byte{0xe1, 0x80, 0xb9, 0x32}, 0xed21633a},
	} {
		require.Equal(t, c.want, Hash(c.key), "%x", c.key)
	}
}

func key(i int) []byte { return binary.LittleEndian.AppendUint32(nil, uint32(i)) }

func TestNoFalseNegatives(t *testing.T) {
	for _, bits := range []float64{0.5, 1, 4, 10, 16.5, 60} {
		for _, n := range []int{0, 1, 10, 100, 1000} {
			var hashes []uint32
			for i := range n {
				hashes = append(hashes, Hash(key(i)))
			}
			f := appendBloom(nil, hashes, bits)
			for i := range n {
				require.True(t, MayContain(f, Hash(key(i))), "bits %v, key %d of %d", bits, i, n)
			}
		}
	}
}

func TestFalsePositiveRate(t *testing.T) {
	const n, probes = 10000, 20000
	for _, c := range []struct{ bits, most float64 }{{5, 0.12}, {10, 0.0125}, {15, 0.0025}} {
		var hashes []uint32
		for i := range n {
			hashes = append(hashes, Hash(key(i)))
		}
		f := appendBloom(nil, hashes, c.bits)
		hits := 0
		for i := range probes {
			if MayContain(f, Hash(key(1_000_000_000+i))) {
				hits++
			}
		}
		require.Less(t, float64(hits)/probes, c.most, "%v bits", c.bits)
	}
}

func TestReservedEncodingMatches(t *testing.T) {
	require.True(t, MayContain([]byte{0, 0, 0, 31}, 12345))
	require.False(t, MayContain(nil, 12345), "no block, no key")
	require.False(t, MayContain([]byte{6}, 12345))
}

// TestBlock is LevelDB's filter block test: filters of blocks at chosen
// offsets, one range without keys.
func TestBlock(t *testing.T) {
	b := NewBuilder(10)
	add := func(off uint64, names ...string) {
		b.StartBlock(off)
		for _, s := range names {
			b.Add(Hash([]byte(s)))
		}
	}
	add(0, "foo")
	add(2000, "bar")
	add(3100, "box")
	add(9000, "box", "hello")
	f, err := Parse(b.Finish())
	require.NoError(t, err)
	has := func(off uint64, s string) bool { return f.MayContain(off, Hash([]byte(s))) }
	for _, c := range []struct {
		off   uint64
		in    []string
		notin []string
	}{
		{0, []string{"foo", "bar"}, []string{"box", "hello"}},
		{2000, []string{"foo", "bar"}, []string{"box", "hello"}},
		{3100, []string{"box"}, []string{"foo", "bar", "hello"}},
		{4100, nil, []string{"foo", "bar", "box", "hello"}},
		{9000, []string{"box", "hello"}, []string{"foo", "bar"}},
	} {
		for _, s := range c.in {
			require.True(t, has(c.off, s), "%d %s", c.off, s)
		}
		for _, s := range c.notin {
			require.False(t, has(c.off, s), "%d %s", c.off, s)
		}
	}
	require.True(t, has(1<<30, "anything"), "behind the last filter nothing is known")
}

func TestEmptyBlock(t *testing.T) {
	b := NewBuilder(10)
	require.Equal(t, []byte{0, 0, 0, 0, 11}, b.Finish(), "as LevelDB writes it")
	f, err := Parse([]byte{0, 0, 0, 0, 11})
	require.NoError(t, err)
	require.True(t, f.MayContain(0, 1))
}

func TestParseErrors(t *testing.T) {
	for _, b := range [][]byte{nil, {11}, {0, 0, 0, 0}, {9, 0, 0, 0, 11}, {1, 0, 0, 0, 11}, {0xff, 0xff, 0xff, 0xff, 11},
		{7, 7, 7, 7, 3, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0, 11}, {0, 0, 0, 0, 200}} {
		_, err := Parse(b)
		require.Error(t, err, "%x", b)
	}
}

func FuzzParse(f *testing.F) {
	b := NewBuilder(10)
	for i := range 100 {
		b.StartBlock(uint64(i * 700))
		b.Add(Hash(fmt.Appendf(nil, "k%d", i)))
	}
	f.Add(b.Finish(), uint64(5000), uint32(7))
	f.Add([]byte{0, 0, 0, 0, 11}, uint64(0), uint32(0))
	f.Fuzz(func(t *testing.T, b []byte, off uint64, h uint32) {
		if blk, err := Parse(b); err == nil {
			blk.MayContain(off, h)
		}
		MayContain(b, h)
	})
}

func BenchmarkMayContain(b *testing.B) {
	var hashes []uint32
	for i := range 36 {
		hashes = append(hashes, Hash(key(i)))
	}
	f := appendBloom(nil, hashes, 10)
	for _, absent := range []bool{false, true} {
		b.Run(fmt.Sprintf("absent=%v", absent), func(b *testing.B) {
			i := 0
			for b.Loop() {
				h := hashes[i%len(hashes)]
				if absent {
					h += 0x9e3779b9 * uint32(i)
				}
				MayContain(f, h)
				i++
			}
		})
	}
}
