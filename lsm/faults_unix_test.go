//go:build unix

package lsm

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// fullEnv tells the test binary to run a store whose files may not grow: the
// directory.
const fullEnv = "MEMLAB_LSM_FULL_DIR"

// TestFileLimitChild is a store under RLIMIT_FSIZE, which makes write(2) fail in
// earnest. On its own it does nothing.
func TestFileLimitChild(t *testing.T) {
	dir := os.Getenv(fullEnv)
	if dir == "" {
		t.Skip("run by C19")
	}
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 32 << 10, Max: 32 << 10}))
	o := small(nil)
	o.WriteBufferSize = 1 << 20 // so that the log is what grows
	d, err := Open(dir, o)
	require.NoError(t, err)
	h := history{keys: 40, size: 60}
	acked := 0
	for i := 1; ; i++ {
		var b Batch
		h.add(&b, i)
		if err = d.Apply(&b, nil); err != nil {
			break
		}
		acked = i
	}
	require.ErrorIs(t, err, syscall.EFBIG)
	require.Equal(t, acked, h.check(t, d), "reads go on")
	require.NoError(t, d.Close())
	fmt.Printf("acked %d\n", acked)
}

func TestFaultFileLimit(t *testing.T) {
	t.Run("C19_no_space_of_the_system", func(t *testing.T) {
		exe, err := os.Executable()
		require.NoError(t, err)
		dir := t.TempDir()
		cmd := exec.Command(exe, "-test.run=^TestFileLimitChild$")
		cmd.Env = append(os.Environ(), fullEnv+"="+dir)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		var acked int
		_, err = fmt.Sscanf(string(out), "acked %d", &acked)
		require.NoError(t, err, "%s", out)
		require.Positive(t, acked)
		d, err := Open(dir, small(nil))
		require.NoError(t, err)
		require.Equal(t, acked, history{keys: 40, size: 60}.check(t, d))
		require.NoError(t, d.Close())
	})
}
