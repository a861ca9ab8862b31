package segregated

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
)

// allocateHere and allocateThere are two places that a profile tells apart.
//
//go:noinline
func allocateHere(t testing.TB, h *Heap, size int) []byte { return must(t, h, size) }

//go:noinline
func allocateThere(t testing.TB, h *Heap, size int) []byte {
	b, err := h.Calloc(1, size)
	require.NoError(t, err)
	return b
}

// rawProfile writes h's profile, has go tool pprof read it, and returns what it
// prints: the samples by the function that allocated, [objects, bytes] each.
func rawProfile(t *testing.T, h *Heap) (map[string][2]int, string) {
	t.Helper()
	goTool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("no go command")
	}
	path := filepath.Join(t.TempDir(), "heap.pb.gz")
	var buf bytes.Buffer
	require.NoError(t, h.WriteProfile(&buf))
	require.NoError(t, os.WriteFile(path, buf.Bytes(), 0o600))
	out, err := exec.Command(goTool, "tool", "pprof", "-raw", path).CombinedOutput()
	require.NoError(t, err, "%s", out)
	text := string(out)
	names := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^ +(\d+): 0x\w+ (?:M=\d+ )?(\S+) \S+:\d+`).FindAllStringSubmatch(text, -1) {
		names[m[1]] = m[2]
	}
	sums := map[string][2]int{}
	for _, m := range regexp.MustCompile(`(?m)^ +(\d+) +(\d+): ([\d ]+)`).FindAllStringSubmatch(text, -1) {
		objects, _ := strconv.Atoi(m[1])
		size, _ := strconv.Atoi(m[2])
		for _, id := range strings.Fields(m[3]) {
			if name := names[id]; strings.Contains(name, "allocate") {
				short := name[strings.LastIndex(name, ".")+1:]
				sums[short] = [2]int{sums[short][0] + objects, sums[short][1] + size}
			}
		}
	}
	return sums, text
}

// TestProfile: go tool pprof reads the profile, and the figures are right, in
// every mode.
func TestProfile(t *testing.T) {
	for _, m := range []Mode{Fast, Checked, Guarded} {
		t.Run(m.String(), func(t *testing.T) {
			h := freshIn(t, 64<<20, backings(t)["mmap"], &Options{Mode: m, ProfileRate: 1, Guard: GuardOptions{Every: 2, Mappings: 300}})
			var here, there [][]byte
			for i := range 100 {
				here = append(here, allocateHere(t, h, 100))
				there = append(there, allocateThere(t, h, 1000+i))
			}
			stay := 100
			for i := range 50 {
				h.Free(here[i])
				b, err := h.Realloc(there[i], 5000)
				require.NoError(t, err)
				if addrOf(b) != addrOf(there[i]) {
					stay-- // it belongs to the place of the Realloc
				}
				there[i] = b
			}
			sums, text := rawProfile(t, h)
			require.Contains(t, text, "inuse_objects/count inuse_space/bytes[dflt]")
			require.Contains(t, text, "PeriodType: space bytes")
			require.Contains(t, text, "Period: 1\n")
			require.Equal(t, [2]int{50, 5000}, sums["allocateHere"], "%v", text)
			require.Equal(t, stay, sums["allocateThere"][0])
			for i := range 50 {
				h.Free(here[50+i])
				h.Free(there[i])
				h.Free(there[50+i])
			}
			sums, _ = rawProfile(t, h)
			require.Empty(t, sums)
		})
	}
}

// TestProfileSampled: what is left out is made up for.
func TestProfileSampled(t *testing.T) {
	for _, m := range []Mode{Fast, Checked} {
		h := fresh(t, 64<<20, &Options{Mode: m, ProfileRate: 4096, Seed: 11})
		var bs [][]byte
		for range 20_000 {
			bs = append(bs, allocateHere(t, h, 64))
		}
		for range 300 {
			bs = append(bs, allocateThere(t, h, 50_000))
		}
		require.Less(t, h.ModeReport().Stacks, 10)
		sums, text := rawProfile(t, h)
		require.Contains(t, text, "Period: 4096\n")
		require.InDelta(t, 20_000, sums["allocateHere"][0], 3000)
		require.InDelta(t, 20_000*64, sums["allocateHere"][1], 3000*64)
		require.InDelta(t, 300, sums["allocateThere"][0], 2, "larger than the rate: all are traced")
		for _, b := range bs {
			h.Free(b)
		}
	}
}

// TestProfileRefused: without tracing, after Close, and when the writer fails.
func TestProfileRefused(t *testing.T) {
	h := fresh(t, 1<<20, nil)
	require.ErrorIs(t, h.WriteProfile(&bytes.Buffer{}), errors.ErrUnsupported)
	traced := fresh(t, 1<<20, &Options{ProfileRate: 1})
	require.Error(t, traced.WriteProfile(failingWriter{}))
	require.NoError(t, traced.Close())
	require.ErrorIs(t, traced.WriteProfile(&bytes.Buffer{}), alloc.ErrClosed)
	for _, o := range []Options{{ProfileRate: -1}, {Mode: 7}, {Guard: GuardOptions{Every: -1}}, {Guard: GuardOptions{Mappings: -1}}} {
		_, err := New(nil, &o)
		require.Error(t, err)
	}
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, errors.New("no") }

// TestLeakSites: the report of leaks names the places, most bytes first, in mode
// Fast too; and a double free names both.
func TestLeakSites(t *testing.T) {
	h, err := New(nil, &Options{ProfileRate: 1})
	require.NoError(t, err)
	b := allocateHere(t, h, 40)
	h.Free(b)
	err = alloc.Try(func() { h.Free(b) })
	f, ok := errors.AsType[*alloc.Fault](err)
	require.True(t, ok)
	require.ErrorIs(t, err, alloc.ErrDoubleFree)
	requireFrame(t, f.AllocStack, "allocateHere")
	requireFrame(t, f.FreeStack, "TestLeakSites")
	for range 3 {
		allocateHere(t, h, 100)
	}
	allocateThere(t, h, 10_000)
	err = h.Close()
	var leak *alloc.LeakError
	require.ErrorAs(t, err, &leak)
	require.Len(t, leak.Sites, 2)
	require.Equal(t, 10_000, leak.Sites[0].Bytes)
	require.Equal(t, 3, leak.Sites[1].Blocks)
	require.Contains(t, err.Error(), "allocateThere")
	require.Contains(t, err.Error(), "3 blocks, 300 bytes at ")
}

// TestStackTable: equal stacks are one, different ones are told apart, also
// when their hashes are equal.
func TestStackTable(t *testing.T) {
	var s stackTable
	stacks := [][]uintptr{{1}, {2}, {1, 2}, {2, 1}, {1, 2, 3}, {}}
	for round := range 2 {
		for i, pcs := range stacks {
			require.EqualValues(t, i+1, s.intern(pcs), "round %d", round)
		}
	}
	for i, pcs := range stacks {
		require.Equal(t, fmt.Sprint(pcs), fmt.Sprint(s.stack(uint32(i+1))))
	}
	require.Nil(t, s.stack(0))
	require.Nil(t, s.stack(99))
	s.chain = []uint32{0, 1, 2, 3, 4, 5} // every stack under one hash
	for i, pcs := range append(stacks, []uintptr{3}) {
		s.first = map[uint64]uint32{hashOf(pcs): 6}
		require.EqualValues(t, i+1, s.intern(pcs), "found among others, or new")
	}
	require.Equal(t, 7, s.len())

	s = stackTable{base: 9}
	for i, pcs := range stacks {
		require.EqualValues(t, i+10, s.intern(pcs))
		require.EqualValues(t, i+10, s.intern(pcs))
		require.Equal(t, fmt.Sprint(pcs), fmt.Sprint(s.stack(uint32(i+10))))
		require.Nil(t, s.stack(uint32(i+1)), "a stack of before")
	}
	require.Nil(t, s.stack(99))
}

// TestSampleDistance: the distance to the next sample is positive and about the
// rate, up to the largest rate there is.
func TestSampleDistance(t *testing.T) {
	for _, rate := range []int{1, 1000, math.MaxInt} {
		tr := tracer{rate: rate, rng: rand.New(rand.NewPCG(1, 2))}
		sum := 0.0
		for range 2000 {
			d := tr.draw()
			require.Positive(t, d, "rate %d", rate)
			sum += float64(d)
		}
		require.InEpsilon(t, float64(rate), sum/2000, 0.7, "rate %d", rate)
	}
}
