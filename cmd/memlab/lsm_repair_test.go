package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// runLsmVerb runs a verb of lsm and returns what it printed and its exit code.
func runLsmVerb(t *testing.T, in string, args ...string) (out string, code int) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	e := &env{in: strings.NewReader(in), out: &stdout, err: &stderr}
	code = runLsm(context.Background(), e, args)
	return stdout.String() + stderr.String(), code
}

func TestLsmRepair(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "db")
	_, code := runLsmVerb(t, `{"op":"put","k":"61","v":"31"}`+"\n"+`{"op":"put","k":"62","v":"32"}`+"\n", "load", dir)
	require.Equal(t, exitOK, code)
	require.NoError(t, os.Remove(filepath.Join(dir, "CURRENT")))
	out, code := runLsmVerb(t, "", "get", dir, "a")
	require.Equal(t, exitFound, code)
	require.Contains(t, out, "repair")

	out, code = runLsmVerb(t, "", "repair", "-json", dir)
	require.Equal(t, exitOK, code, out)
	require.Contains(t, out, `"entries": 2`)
	out, code = runLsmVerb(t, "", "dump", dir)
	require.Equal(t, exitOK, code)
	require.Equal(t, `{"k":"61","v":"31"}`+"\n"+`{"k":"62","v":"32"}`+"\n", out)

	require.NoError(t, os.Remove(filepath.Join(dir, "CURRENT")))
	out, code = runLsmVerb(t, "", "check", "-json", dir)
	require.Equal(t, exitFound, code)
	require.Contains(t, out, `"ok": false`)
	require.Contains(t, out, `"lsm: open `)
	_, code = runLsmVerb(t, "", "repair", dir)
	require.Equal(t, exitOK, code)
	out, code = runLsmVerb(t, "", "check", "-json", dir)
	require.Equal(t, exitOK, code)
	require.Contains(t, out, `"ok": true`)
	require.Contains(t, out, `"recovery": {`)

	_, code = runLsmVerb(t, "", "repair")
	require.Equal(t, exitUsage, code)
	out, code = runLsmVerb(t, "", "repair", filepath.Join(dir, "none"))
	require.Equal(t, exitFound, code)
	require.Contains(t, out, "no such file")
}
