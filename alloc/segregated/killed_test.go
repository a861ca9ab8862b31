package segregated

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/arena"
)

// killChild runs a case of runChild on the heap in the file, and kills it so long after it is ready.
func killChild(t *testing.T, name, path string, seed int, after time.Duration) {
	cmd := exec.Command(os.Args[0], "-segregated.child="+name, "-segregated.file="+path, "-segregated.seed="+strconv.Itoa(seed))
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	_, err = out.Read(make([]byte, 1))
	require.NoError(t, err)
	time.Sleep(after)
	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait()
}

// TestKilled: a process that works on a heap in a file is killed at some moment.
// What it leaves is opened, sound, and has every node of the list.
func TestKilled(t *testing.T) {
	rounds := 12
	if *long {
		rounds = 1000
	}
	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	for _, m := range []Mode{Fast, Checked} {
		t.Run(m.String(), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "heap")
			h, err := New(fileRegion(t, path, 64<<20), &Options{Mode: m})
			require.NoError(t, err)
			require.NoError(t, h.Close())
			for round := range rounds {
				killChild(t, "persist", path, round, time.Duration(rng.IntN(30_000))*time.Microsecond)

				r, h, seqs := afterKill(t, path, round)
				for i := 1; i < len(seqs); i++ {
					require.Less(t, seqs[i], seqs[i-1], "the list is in order of age")
				}
				require.LessOrEqual(t, h.Stats().LiveBlocks, len(seqs)+round+2+churnBlocks*(round+1))
				if round%2 == 0 { // else the next process finds it as the killed one left it
					require.NoError(t, h.Close())
				}
				require.NoError(t, r.Close())
			}
		})
	}
}

// TestKilledInOpen: a process that opens a heap whose process was killed is killed as well,
// at some moment of that. No block is lost, none appears, and none changes its size.
func TestKilledInOpen(t *testing.T) {
	rounds := 25
	if *long {
		rounds = 1000
	}
	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 2))
	path := filepath.Join(t.TempDir(), "heap")
	r := fileRegion(t, path, 64<<20)
	h, err := New(r, nil)
	require.NoError(t, err)
	l := list{h}
	var spare [][]byte
	for seq := range uint64(5000) {
		require.NoError(t, l.push(seq+1, 24+rng.IntN(1<<rng.IntN(15))))
		spare = append(spare, must(t, h, 1+rng.IntN(1<<rng.IntN(17))))
	}
	for _, b := range spare {
		h.Free(b)
	}
	live := h.Stats()
	require.NoError(t, r.Close())
	for round := range rounds {
		killChild(t, "reopen", path, round, time.Duration(rng.IntN(5_000))*time.Microsecond)

		r, h, seqs := afterKill(t, path, round)
		require.Len(t, seqs, 5000)
		require.Equal(t, live.LiveBlocks, h.Stats().LiveBlocks)
		require.Equal(t, live.Live, h.Stats().Live)
		require.NoError(t, r.Close())
	}
}

// afterKill opens the heap of a process that was killed, and returns it with its region and what
// its list has.
func afterKill(t *testing.T, path string, round int) (*arena.Region, *Heap, []uint64) {
	r := fileRegion(t, path, 64<<20)
	h, err := Open(r, nil)
	require.NoError(t, err, "round %d", round)
	require.NoError(t, h.Check())
	seqs, err := list{h}.verify()
	require.NoError(t, err, "round %d", round)
	return r, h, seqs
}

// reopenChild opens the heap in the file again and again, until it is killed.
func reopenChild() error {
	for {
		r, err := arena.Reserve(64<<20, &arena.Options{Backing: arena.File, Path: *childFile})
		if err != nil {
			return err
		}
		fmt.Print("r")
		if _, err := Open(r, nil); err != nil {
			return err
		}
		if err := r.Close(); err != nil {
			return err
		}
	}
}

// churnBlocks is how many blocks besides the list the child has at most.
const churnBlocks = 8

// persistChild works on the heap in the file until it is killed.
func persistChild() error {
	r, err := arena.Reserve(64<<20, &arena.Options{Backing: arena.File, Path: *childFile})
	if err != nil {
		return err
	}
	h, err := Open(r, nil)
	if err != nil {
		return err
	}
	l := list{h}
	seqs, err := l.verify()
	if err != nil {
		return err
	}
	seq := uint64(1)
	if len(seqs) > 0 {
		seq = seqs[0] + 1
	}
	fmt.Print("r")
	rng := rand.New(rand.NewPCG(uint64(*childSeed), 5))
	var churn [churnBlocks][]byte
	for nodes := len(seqs); ; {
		size := 24 + rng.IntN(1<<rng.IntN(17))
		if nodes < 300 && rng.IntN(2) == 0 {
			err = l.push(seq, size)
			nodes, seq = nodes+1, seq+1
		} else if nodes > 0 {
			err = l.pop()
			nodes--
		}
		if err != nil {
			return err
		}
		if err := churnOne(h, rng, &churn[rng.IntN(churnBlocks)], size); err != nil {
			return err
		}
		if rng.IntN(20) == 0 {
			if err := l.compact(&churn); err != nil {
				return err
			}
		}
	}
}
