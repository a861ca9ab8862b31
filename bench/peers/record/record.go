package record

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"github.com/memlab-go/memlab/bench/trace"
)

//go:embed preload/record.c
var source []byte

// Run runs cmd, whose environment it adds to, and returns what the program asked of malloc, of
// its first calls if calls is not 0. That the program fails is no error: the trace is what it
// did until then. Errors: there is no gcc, the program cannot be started, or it does
// not call malloc of the C library.
func Run(ctx context.Context, cmd *exec.Cmd, calls int) (*trace.Trace, Lost, error) {
	dir, err := os.MkdirTemp("", "memlab-record-")
	if err != nil {
		return nil, Lost{}, err
	}
	defer os.RemoveAll(dir)
	library, notes := filepath.Join(dir, "record.so"), filepath.Join(dir, "notes")
	if err := compile(ctx, dir, library); err != nil {
		return nil, Lost{}, err
	}
	cmd.Env = append(cmd.Environ(), "LD_PRELOAD="+library, "MEMLAB_RECORD="+notes)
	if calls > 0 {
		cmd.Env = append(cmd.Env, "MEMLAB_RECORD_CALLS="+strconv.Itoa(calls))
	}
	var failed *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &failed) {
		return nil, Lost{}, err
	}
	f, err := os.Open(notes)
	if errors.Is(err, os.ErrNotExist) {
		return nil, Lost{}, fmt.Errorf("record: %s does not call malloc of the C library: is it linked statically?", cmd.Path)
	}
	if err != nil {
		return nil, Lost{}, err
	}
	defer f.Close()
	t, lost, err := Convert(f)
	if err != nil {
		return nil, lost, err
	}
	t.Name, t.Prefix = filepath.Base(cmd.Path), calls > 0 && len(t.Ops) >= calls
	return t, lost, nil
}

// compile makes the library of record.c.
func compile(ctx context.Context, dir, library string) error {
	file := filepath.Join(dir, "record.c")
	if err := os.WriteFile(file, source, 0o600); err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, "gcc", "-O2", "-fPIC", "-shared", "-fno-builtin", "-pthread", "-o", library, file, "-ldl").CombinedOutput()
	if err != nil {
		return fmt.Errorf("record: gcc: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}
