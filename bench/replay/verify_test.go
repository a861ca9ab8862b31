package replay

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/bench/trace"
)

// program returns the trace of the operations in text, one "a 0 16" each,
// separated by semicolons.
func program(t testing.TB, text string) *trace.Trace {
	t.Helper()
	ops := strings.Split(text, ";")
	rep := "1000\n20\n" + itoa(len(ops)) + "\n1\n" + strings.Join(ops, "\n") + "\n"
	tr, err := trace.Read(strings.NewReader(rep), "t", nil)
	require.NoError(t, err)
	return tr
}

func itoa(i int) string {
	if i >= 10 {
		return itoa(i/10) + itoa(i%10)
	}
	return string(rune('0' + i))
}

const everyOp = "a 0 100;a 1 7;c 2 3 8;r 0 300;f 1;r 0 20;a 3 0;f -1;r 4 40;r 4 0;f 4;a 1 9;c 5 0 8;a 6 20000"

func TestVerifyAcceptsSoundHeaps(t *testing.T) {
	tr := program(t, everyOp)
	require.NoError(t, Verify(tr, entry(nil), Config{}))
	for _, e := range Known() {
		require.NoError(t, Verify(tr, e, Config{}), e.Name)
	}
}

func TestVerifyFindsWhatIsBroken(t *testing.T) {
	for _, c := range []struct {
		name   string
		ops    string
		change func(*testHeap)
		want   string
	}{
		{"misaligned by 8", "a 0 16", func(h *testHeap) { h.skew = 8 }, "operation 1: id 0: block of 16 bytes at .* is not aligned to 16"},
		{"misaligned by 4", "a 0 7", func(h *testHeap) { h.skew = 4 }, "not aligned to 8"},
		{"overlap", "a 0 100;a 1 50", func(h *testHeap) { h.sameBlock = true }, "operation 2: id 1: block .* overlaps a live block"},
		{"empty blocks at one address", "a 0 0;a 1 0", func(h *testHeap) { h.sameBlock = true }, "operation 2: id 1: .* overlaps"},
		{"live block changed, found at its free", "a 0 100;a 1 50;f 0", func(h *testHeap) {
			h.scribble = func([]byte) {
				if h.off > 112 {
					h.mem[41] ^= 1
				}
			}
		}, "operation 3: id 0: byte 41 of 100 of a live block .* was changed"},
		{"live block changed, found at the end", "a 0 100;a 1 50", func(h *testHeap) {
			h.scribble = func([]byte) {
				if h.off > 112 {
					h.mem[99] ^= 0x80
				}
			}
		}, "at the end: id 0: byte 99 of 100"},
		{"realloc forgets", "a 0 100;r 0 200", func(h *testHeap) { h.lossy = true }, "operation 2: id 0: realloc from 100 to 200 bytes changed byte 0"},
		{"realloc to 0 returns a block", "a 0 100;r 0 0", func(h *testHeap) { h.keep = true }, "realloc to 0 bytes returned a block"},
		{"calloc leaves dirt", "c 0 3 8", func(h *testHeap) { h.dirty = true }, "operation 1: id 0: calloc left byte 0 of 24 as 0xee, not 0"},
		{"cap above len", "a 0 100", func(h *testHeap) { h.roomy = true }, "asked for 100 bytes, got len 100 and cap 1048576"},
		{"len below size", "a 0 100", func(h *testHeap) { h.short = true }, "asked for 100 bytes, got len 99 and cap 99"},
		{"nil without error", "a 0 0", func(h *testHeap) { h.nilBlock = true }, "got nil without an error"},
		{"broken law", "a 0 100", func(h *testHeap) { h.checkErr = errLaw }, "at the end of the trace: law broken"},
		{"panic on a sound trace", "a 0 1;a 1 1;f 0;f 1", func(h *testHeap) { h.panicAt = 2 }, "operation 4: the allocator panicked: alloc: free: block already free"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := Verify(program(t, c.ops), entry(c.change), Config{})
			require.Error(t, err)
			require.Regexp(t, c.want, err.Error())
		})
	}
}

func TestVerifyReportsALimit(t *testing.T) {
	err := Verify(program(t, "a 0 100;a 1 5000"), entry(nil), Config{Limit: 4096})
	require.ErrorIs(t, err, alloc.ErrNoMemory)
	require.EqualError(t, err, "t: operation 2: alloc: malloc 5000 bytes: out of memory (limit 4096, largest free block 3984)")
	var oe *OpError
	require.ErrorAs(t, err, &oe)
	require.Equal(t, 2, oe.Op)
}

func TestVerifyRunsTwiceOnFreshHeaps(t *testing.T) {
	heaps := 0
	e := entry(func(*testHeap) { heaps++ })
	require.NoError(t, Verify(program(t, "a 0 8"), e, Config{}))
	require.Equal(t, 2, heaps)
}

func TestPatternsDiffer(t *testing.T) {
	p := newPatterns()
	b := make([]byte, 3*patternSize+17)
	p.fill(b, 7)
	require.Equal(t, -1, p.differs(b, 7))
	require.GreaterOrEqual(t, p.differs(b, 8), 0)
	for _, at := range []int{0, 1, patternSize - 1, patternSize, len(b) - 1} {
		b[at]++
		require.Equal(t, at, p.differs(b, 7))
		b[at]--
	}
}

func TestShadowAgainstMap(t *testing.T) {
	for _, align := range []int{1, 8} {
		s, model := newShadow(align), map[uintptr]bool{}
		unit := uintptr(align)
		rng := uint64(1)
		next := func(n uint64) uintptr {
			rng = rng*6364136223846793005 + 1442695040888963407
			return uintptr(rng >> 33 % n)
		}
		type span struct {
			addr uintptr
			size int
		}
		var live []span
		for range 20000 {
			if len(live) > 40 || len(live) > 0 && next(3) == 0 {
				i := next(uint64(len(live)))
				sp := live[i]
				live = append(live[:i], live[i+1:]...)
				s.release(sp.addr, sp.size)
				for a := sp.addr / unit; a <= (sp.addr+uintptr(max(sp.size, 1))-1)/unit; a++ {
					delete(model, a)
				}
				continue
			}
			sp := span{1<<20 - 3000 + next(6000)*unit, int(next(600))}
			clash := false
			for a := sp.addr / unit; a <= (sp.addr+uintptr(max(sp.size, 1))-1)/unit; a++ {
				clash = clash || model[a]
			}
			at, ok := s.claim(sp.addr, sp.size)
			require.Equal(t, clash, !ok)
			if !ok {
				s.release(sp.addr, int(at-sp.addr)) // claim stops at the clash; take back what it marked
				s = newShadow(align)
				for _, l := range live {
					s.claim(l.addr, l.size)
				}
				continue
			}
			live = append(live, sp)
			for a := sp.addr / unit; a <= (sp.addr+uintptr(max(sp.size, 1))-1)/unit; a++ {
				model[a] = true
			}
		}
	}
}

func TestVerifyReportsAHugeBlock(t *testing.T) {
	for _, e := range Known() {
		t.Run(e.Name, func(t *testing.T) {
			for _, size := range []int{math.MaxInt, math.MaxInt/2 + 1} {
				err := Verify(program(t, fmt.Sprintf("a 0 100;a 1 %d", size)), e, Config{})
				require.ErrorIs(t, err, alloc.ErrNoMemory, "%d bytes", size)
			}
		})
	}
}
