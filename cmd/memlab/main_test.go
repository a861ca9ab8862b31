package main

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// full is a device without room.
type full struct{}

var errNoRoom = errors.New("no space left on device")

func (full) Write([]byte) (int, error) { return 0, errNoRoom }

// TestOutputLost: a command whose output gets lost says so and fails.
func TestOutputLost(t *testing.T) {
	db := t.TempDir() + "/db"
	_, _, errs := lsmRun(t, "", "put", db, "a", "1")
	require.Empty(t, errs)
	tiny := writeTrace(t, "tiny.rep", soundTrace)
	for _, line := range []string{
		"lsm check " + db, "lsm check -json " + db, "lsm stats " + db, "lsm get " + db + " a", "lsm scan " + db, "lsm dump " + db, "lsm compact " + db,
		"dump -format sv39 -o " + t.TempDir(), "translate", "fit -ops +1", "page -refs 1,2", "tlb -list", "tlb gen:zipf:n=9",
		"replay -in-process " + tiny, "replay -in-process -bench " + tiny, "compare -html= -reps 1 -alloc go " + tiny, "compare -h", "fit -h",
	} {
		var errs bytes.Buffer
		code := run(context.Background(), &env{in: strings.NewReader(""), out: full{}, err: &errs}, strings.Fields(line))
		require.Equal(t, exitFound, code, line)
		require.Equal(t, 1, strings.Count(errs.String(), errNoRoom.Error()), "%s: %s", line, errs.String())
	}
}

// TestHelpGoesToStandardOutput: help that was asked for is a result; after an error
// there is the error, and where the help is.
func TestHelpGoesToStandardOutput(t *testing.T) {
	for _, c := range commands() {
		for _, line := range []string{c.name + " -h", c.name + " --help", "help " + c.name} {
			code, out, errs := memlab(strings.Fields(line)...)
			require.Equal(t, exitOK, code, line)
			require.Contains(t, out, "Usage: memlab "+c.name, line)
			require.Empty(t, errs, line)
		}
		if c.name == "lsm" {
			continue
		}
		code, out, errs := memlab(c.name, "-nosuch")
		require.Equal(t, exitUsage, code)
		require.Empty(t, out)
		require.Equal(t, "memlab "+c.name+": flag provided but not defined: -nosuch (see memlab "+c.name+" -h)\n", errs)
	}
	for _, v := range lsmVerbs() {
		code, out, errs := memlab("help", "lsm", v.name)
		require.Equal(t, exitOK, code, v.name)
		require.Contains(t, out, "Usage: memlab lsm "+v.name)
		require.Empty(t, errs)
	}
	for _, arg := range []string{"help", "-h", "-help", "--help"} {
		code, out, errs := memlab(arg)
		require.Equal(t, exitOK, code)
		require.Contains(t, out, "Usage: memlab COMMAND")
		require.Empty(t, errs)
	}
	code, out, errs := memlab("help", "nosuch")
	require.Equal(t, exitUsage, code)
	require.Empty(t, out)
	require.Contains(t, errs, `unknown command "nosuch"`)
	code, out, _ = memlab()
	require.Equal(t, exitUsage, code)
	require.Empty(t, out)
}

// TestInterrupted: whoever presses Ctrl-C is told so, by every long command.
func TestInterrupted(t *testing.T) {
	db := t.TempDir() + "/db"
	_, _, errs := lsmRun(t, "", "put", db, "a", "1")
	require.Empty(t, errs)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, line := range []string{
		"replay -in-process git-log", "replay git-log", "compare -html= git-log", "compare -html= -vm git-log",
		"page gen:zipf", "tlb gen:zipf", "lsm scan " + db, "lsm dump " + db, "lsm load " + db,
	} {
		var out, errs bytes.Buffer
		in := strings.NewReader(`{"op":"del","k":"61"}` + "\n")
		require.Equal(t, exitFound, run(ctx, &env{in: in, out: &out, err: &errs}, strings.Fields(line)), line)
		require.Contains(t, errs.String(), "interrupted\n", line)
		require.NotContains(t, errs.String(), "context", line)
		require.Equal(t, 1, strings.Count(errs.String(), "\n"), errs.String())
	}
}
