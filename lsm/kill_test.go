package lsm

import (
	"bufio"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// killRounds is how often C01 kills a writer at each of OS and Sync.
var killRounds = flag.Int("kill.rounds", 0, "rounds of kill -9 at each durability; 0: 100, or 5 with -short")

// killEnv tells the test binary that it is the writer to be killed: the directory.
// With _LEVEL behind it, the durability; with _HISTORY, which history.
const killEnv = "MEMLAB_LSM_KILL_DIR"

// The histories of a writer to be killed.
const (
	killRanges = "ranges" // crashHistory
	killPoints = "points" // pointHistory
)

func killHistory(name string) history {
	if name == killPoints {
		return pointHistory()
	}
	return crashHistory()
}

// TestKillChild is the writer. On its own it does nothing.
func TestKillChild(t *testing.T) {
	dir := os.Getenv(killEnv)
	if dir == "" {
		t.Skip("run by C01")
	}
	level, err := ParseDurability(os.Getenv(killEnv + "_LEVEL"))
	require.NoError(t, err)
	h := killHistory(os.Getenv(killEnv + "_HISTORY"))
	d, err := Open(dir, small(nil))
	require.NoError(t, err)
	n := h.check(t, d)
	for i := n + 1; ; i++ {
		require.NoError(t, h.step(d, i, level))
		fmt.Printf("acked %d\n", i)
	}
}

func testKill(t *testing.T) {
	t.Parallel()
	rounds := *killRounds
	if rounds == 0 {
		rounds = 100
		if testing.Short() {
			rounds = 5
		}
	}
	h := crashHistory()
	rng := rand.New(rand.NewPCG(1, 2))
	for _, level := range []Durability{OS, Sync} {
		dir := t.TempDir()
		acknowledged, written := 0, 0
		for range rounds {
			acked := killOnce(t, dir, level, killRanges, time.Duration(rng.IntN(20))*time.Millisecond)
			d, err := Open(dir, small(nil))
			require.NoError(t, err)
			n := h.check(t, d)
			require.GreaterOrEqual(t, n, acked, "acknowledged at %v", level)
			require.GreaterOrEqual(t, n, written, "was there after an earlier kill")
			acknowledged, written = max(acknowledged, acked), n
			require.NoError(t, d.Close())
			if n > 3000 { // the state grows, and checking it with it
				dir, written = t.TempDir(), 0
			}
		}
		require.Positive(t, acknowledged)
		t.Logf("%v: %d rounds", level, rounds)
	}
}

// killOnce runs a writer, kills it some time after its first acknowledgement, or
// from its start if that comes late, and returns the last batch it acknowledged.
func killOnce(t *testing.T, dir string, level Durability, which string, after time.Duration) (acked int) {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(exe, "-test.run=^TestKillChild$")
	cmd.Env = append(os.Environ(), killEnv+"="+dir, killEnv+"_LEVEL="+level.String(), killEnv+"_HISTORY="+which)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	kill := func() { _ = cmd.Process.Kill() }
	late := time.AfterFunc(after+5*time.Second, kill)
	if after%(4*time.Millisecond) == 0 { // also while it opens
		late.Reset(after)
	}
	sc := bufio.NewScanner(out)
	for sc.Scan() {
		line, whole := strings.CutPrefix(sc.Text(), "acked ")
		n, err := strconv.Atoi(line)
		if err != nil || !whole {
			t.Error(sc.Text())
			continue
		}
		if acked == 0 {
			time.AfterFunc(after, kill)
		}
		acked = n
	}
	_ = cmd.Wait() // it was killed
	late.Stop()
	return acked
}
