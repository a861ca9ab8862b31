package replay

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/bench/trace"
)

// shifting is the beginning of the pattern cache whose phases are short.
func shifting(t testing.TB) *trace.Trace {
	tr, err := trace.Generate("cache", 1, 150_000)
	require.NoError(t, err)
	return tr
}

// TestMoverFollows: blocks move in each kind of replay, the replay finds every one
// again, and the heap has to commit less.
func TestMoverFollows(t *testing.T) {
	tr := shifting(t)
	p, err := Compile(tr)
	require.NoError(t, err)
	both, err := Find(Known(), "segregated", "segregated-compact")
	require.NoError(t, err)
	require.NoError(t, Verify(tr, both[1], Config{}))

	var committed [2]int64
	for i, e := range both {
		u := new(Usage)
		require.NoError(t, u.statsRun(p, e, Config{}))
		committed[i] = u.PeakCommitted
	}
	require.Less(t, committed[1]*8, committed[0]*7)

	u, err := Utilisation(p, both[1], Config{})
	require.NoError(t, err)
	require.Positive(t, u.Moved)
	require.Less(t, u.Moved, 0.3)
	timing, err := Throughput(p, both[1], Config{}, 1, time.Now)
	require.NoError(t, err)
	require.NotEmpty(t, timing.Warm)

	var r Result
	r.AddUsage(u)
	require.Contains(t, r.String(), "of the allocated bytes")
	var taken Result
	taken.TakeUsage(&r)
	require.Equal(t, r.Moved, taken.Moved)
	_, err = Shoot(p, both[1], Config{})
	require.NoError(t, err)
}

// TestMoverOfOthers: an entry that cannot move blocks says so.
func TestMoverOfOthers(t *testing.T) {
	e := entry(nil)
	e.Compact = 1
	tr := program(t, "a 0 8")
	p, err := Compile(tr)
	require.NoError(t, err)
	for _, run := range []func() error{
		func() error { return Verify(tr, e, Config{}) },
		func() error { _, err := Throughput(p, e, Config{}, 1, time.Now); return err },
		func() error { _, err := Utilisation(p, e, Config{}); return err },
		func() error { _, err := Shoot(p, e, Config{}); return err },
	} {
		require.ErrorContains(t, run(), "cannot move blocks")
	}
}

// liar is a mover's heap that moves a block over others, or fails.
type liar struct {
	Heap
	compacter
	compact func(move func(from, to []byte) bool) error
}

func (l *liar) Compact(_ int, move func(from, to []byte) bool) (int, error) {
	return 0, l.compact(move)
}

// TestVerifySeesBadMoves: the oracle finds a move over a live block, one that loses
// bytes, and passes on an error of Compact.
func TestVerifySeesBadMoves(t *testing.T) {
	tr := program(t, "a 0 64;a 1 64;a 2 64;f 2;f 0;f 1")
	boom := errors.New("boom")
	for _, tc := range []struct {
		want    string
		compact func(live [][]byte, spare []byte, move func(from, to []byte) bool) error
	}{
		{"moves over a live block", func(live [][]byte, _ []byte, move func(from, to []byte) bool) error {
			move(live[0], live[1])
			return nil
		}},
		{"of a live block at", func(live [][]byte, spare []byte, move func(from, to []byte) bool) error {
			move(live[0], spare)
			return nil
		}},
		{"boom", func([][]byte, []byte, func(from, to []byte) bool) error { return boom }},
	} {
		e, err := Find(Known(), "segregated-compact")
		require.NoError(t, err)
		e[0].Compact = 192
		e[0].New = func(c Config) (Heap, error) {
			h, err := newSegregated(c)
			if err != nil {
				return nil, err
			}
			spare, err := h.Malloc(64)
			if err != nil {
				return nil, err
			}
			w := &watched{Heap: h}
			return &liar{Heap: w, compacter: h.(compacter), compact: func(move func(from, to []byte) bool) error {
				return tc.compact(w.live, spare, move)
			}}, nil
		}
		require.ErrorContains(t, Verify(tr, e[0], Config{}), tc.want)
	}
}

// watched remembers the blocks that it handed out.
type watched struct {
	Heap
	live [][]byte
}

func (w *watched) Malloc(size int) ([]byte, error) {
	b, err := w.Heap.Malloc(size)
	w.live = append(w.live, b)
	return b, err
}
