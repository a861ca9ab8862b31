package lsm

import (
	"bufio"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// killRounds is how often C01 kills a writer.
var killRounds = flag.Int("kill.rounds", 0, "rounds of kill -9; 0: 100, or 10 with -short")

// killEnv tells the test binary that it is the writer to be killed: the directory
// and the durability.
const killEnv = "MEMLAB_LSM_KILL_DIR"

// TestKillChild is the writer. On its own it does nothing.
func TestKillChild(t *testing.T) {
	dir := os.Getenv(killEnv)
	if dir == "" {
		t.Skip("run by C01")
	}
	level, err := ParseDurability(os.Getenv(killEnv + "_LEVEL"))
	require.NoError(t, err)
	h := crashHistory()
	d, err := Open(dir, small(nil))
	require.NoError(t, err)
	n := h.check(t, d)
	for i := n + 1; ; i++ {
		require.NoError(t, h.step(d, i, level))
		fmt.Printf("acked %d\n", i)
	}
}

func testKill(t *testing.T) {
	rounds := *killRounds
	if rounds == 0 {
		rounds = 100
		if testing.Short() {
			rounds = 10
		}
	}
	h := crashHistory()
	rng := rand.New(rand.NewPCG(1, 2))
	for _, level := range []Durability{OS, Sync} {
		dir := t.TempDir()
		for range rounds / 2 {
			acked := killOnce(t, dir, level, time.Duration(2+rng.IntN(40))*time.Millisecond)
			d, err := Open(dir, small(nil))
			require.NoError(t, err)
			n := h.check(t, d)
			require.GreaterOrEqual(t, n, acked, "acknowledged at %v", level)
			require.NoError(t, d.Close())
		}
	}
}

// killOnce runs a writer for a while, kills it, and returns the last batch it
// acknowledged.
func killOnce(t *testing.T, dir string, level Durability, after time.Duration) (acked int) {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(exe, "-test.run=^TestKillChild$")
	cmd.Env = append(os.Environ(), killEnv+"="+dir, killEnv+"_LEVEL="+level.String())
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
	sc := bufio.NewScanner(out)
	for sc.Scan() {
		if n, err := strconv.Atoi(sc.Text()[min(len(sc.Text()), len("acked ")):]); err == nil {
			acked = n
		} else {
			t.Error(sc.Text())
		}
	}
	_ = cmd.Wait() // it was killed
	return acked
}
