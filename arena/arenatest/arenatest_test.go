package arenatest_test

import (
	"errors"
	"fmt"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/arena"
	"github.com/memlab-go/memlab/arena/arenatest"
)

func TestFailAtCountsOnlyTheCallsNamed(t *testing.T) {
	p := arenatest.New()
	p.FailAt(2, syscall.EAGAIN, arenatest.Map)
	first, err := arena.Reserve(1<<20, &arena.Options{Pager: p, Backing: arena.Sparse})
	if errors.Is(err, arena.ErrUnsupported) {
		t.Skip("no mappings on this system")
	}
	require.NoError(t, err)
	require.False(t, p.Injected())
	_, err = arena.Reserve(1<<20, &arena.Options{Pager: p, Backing: arena.Sparse})
	require.ErrorIs(t, err, syscall.EAGAIN)
	require.True(t, p.Injected())
	require.Equal(t, 2, p.Count(arenatest.Map))
	require.Equal(t, p.Count(), p.Count(arenatest.Map)+p.Count(arenatest.Advise))
	n, size := p.Held()
	require.Equal(t, [2]int{1, 1 << 20}, [2]int{n, size})
	require.ErrorContains(t, p.Check(), "1 mappings of 1048576 bytes are still held")
	require.NoError(t, first.Close())
	require.NoError(t, p.Check())
}

func TestUnmapOfWhatIsNoMapping(t *testing.T) {
	p := arenatest.New()
	mem, err := p.Map(arena.MapRequest{Size: 1 << 16, Prot: arena.ProtReadWrite})
	if err != nil {
		t.Skip("no mappings on this system")
	}
	require.Error(t, p.Unmap(mem[:4096]), "a part")
	require.Error(t, p.Unmap(mem[1<<15:1<<16-4096]), "a part")
	require.Error(t, p.Unmap(make([]byte, 4096)), "somebody else's")
	require.NoError(t, p.Unmap(mem))
	require.ErrorContains(t, p.Check(), "no mapping", "misuse is remembered")
}

func TestOpNames(t *testing.T) {
	seen := map[string]bool{}
	for o := arenatest.Map; o <= arenatest.Resident; o++ {
		require.NotContains(t, o.String(), "op ")
		require.False(t, seen[o.String()])
		seen[o.String()] = true
	}
	require.Equal(t, "op 200", arenatest.Op(200).String())
}

// A recorder stands in for a test that a sweep reports to.
type recorder struct {
	testing.TB
	message string
}

func (r *recorder) Helper() {}

func (r *recorder) Fatalf(format string, args ...any) {
	r.message = fmt.Sprintf(format, args...)
	panic(r)
}

// sweepMessage runs a sweep that should fail and returns what it says.
func sweepMessage(t *testing.T, workload func(p *arenatest.Pager) error) string {
	t.Helper()
	r := &recorder{TB: t}
	func() {
		defer func() { _ = recover() }()
		arenatest.Sweep(r, nil, workload)
	}()
	return r.message
}

func TestSweepFindsALeak(t *testing.T) {
	if r, err := arena.Reserve(1, nil); err != nil || r.Backing() != arena.Mmap {
		t.Skip("no mappings on this system")
	}
	leaky := func(p *arenatest.Pager) error {
		r, err := arena.Reserve(1<<20, &arena.Options{Pager: p})
		if err != nil {
			return err
		}
		if err := r.Commit(0, 4096); err != nil {
			return err
		}
		return r.Close() // not tried again when it fails
	}
	require.Contains(t, sweepMessage(t, leaky), "still held")
	broken := func(p *arenatest.Pager) error { return errors.New("always") }
	require.Contains(t, sweepMessage(t, broken), "nothing failed")
}

func ExampleSweep() {
	t := new(testing.T) // in a test: its own t
	runs := arenatest.Sweep(t, syscall.ENOMEM, func(p *arenatest.Pager) error {
		r, err := arena.Reserve(1<<20, &arena.Options{Pager: p, Backing: arena.Mmap})
		if err != nil {
			return err // nothing is held
		}
		err = r.Commit(0, 4096)
		if closeErr := r.Close(); closeErr != nil {
			err = errors.Join(err, closeErr, r.Close()) // the second try
		}
		return err
	}, arenatest.Unmap)
	fmt.Println("each failure left nothing behind:", runs <= 1)
	// Output: each failure left nothing behind: true
}
