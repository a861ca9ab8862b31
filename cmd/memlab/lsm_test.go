package main

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// lsmRun runs memlab lsm and returns the exit code, standard output and error.
func lsmRun(t *testing.T, in string, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	code = run(context.Background(), &env{in: strings.NewReader(in), out: &o, err: &e}, append([]string{"lsm"}, args...))
	return code, o.String(), e.String()
}

func TestLsmVerbs(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "db")
	for _, c := range []struct {
		in, args string
		code     int
		out      string
	}{
		{"", "get DIR a", exitFound, ""},
		{"", "put -durability sync DIR a 1", exitOK, ""},
		{"", "put DIR b 2", exitOK, ""},
		{"", "put -hex DIR 00ff 7a", exitOK, ""},
		{"", "put -hex DIR xyz 7a", exitUsage, ""},
		{"", "get DIR a", exitOK, "1\n"},
		{"", "get -hex DIR 00ff", exitOK, "7a\n"},
		{"", "get DIR none", exitFound, ""},
		{"", "scan DIR", exitOK, "\"\\x00\\xff\"\t\"z\"\n\"a\"\t\"1\"\n\"b\"\t\"2\"\n"},
		{"", "scan -reverse -limit 1 DIR", exitOK, "\"b\"\t\"2\"\n"},
		{"", "scan DIR a b", exitOK, "\"a\"\t\"1\"\n"},
		{"", "delete DIR a", exitOK, ""},
		{"", "delete -range DIR b", exitUsage, ""},
		{"", "dump DIR", exitOK, "{\"k\":\"00ff\",\"v\":\"7a\"}\n{\"k\":\"62\",\"v\":\"32\"}\n"},
		{`{"op":"put","k":"63","v":""}` + "\n\n" + `{"op":"del","k":"62"}`, "load -batch 10 DIR", exitOK, ""},
		{"", "dump DIR", exitOK, "{\"k\":\"00ff\",\"v\":\"7a\"}\n{\"k\":\"63\",\"v\":\"\"}\n"},
		{"", "delete -range DIR b d", exitOK, ""},
		{"", "dump DIR", exitOK, "{\"k\":\"00ff\",\"v\":\"7a\"}\n"},
		{"", "get", exitUsage, ""},
		{"", "frob DIR", exitUsage, ""},
		{"", "get -recovery magic DIR a", exitUsage, ""},
		{"", "load -durability never DIR", exitUsage, ""},
		{"", "load -batch 0 DIR", exitUsage, ""},
		{"", "put -durability never DIR a b", exitUsage, ""},
		{"", "delete -durability never DIR a", exitUsage, ""},
		{"", "get DIR", exitUsage, ""},
		{"", "put DIR a", exitUsage, ""},
		{"", "dump DIR a", exitUsage, ""},
		{"", "check", exitUsage, ""},
		{"", "stats -nosuch DIR", exitUsage, ""},
		{"", "delete -durability buffered DIR a none", exitOK, ""},
		{"", "get -json DIR none", exitFound, ""},
		{"", "get -json -hex DIR 00ff", exitOK, "{\n  \"schema\": \"memlab/lsm-get/v1\",\n  \"k\": \"00ff\",\n  \"v\": \"7a\"\n}\n"},
		{"", "scan -json DIR", exitOK, "{\"k\":\"00ff\",\"v\":\"7a\"}\n"},
		{"", "delete -range DIR k9 k1", exitUsage, ""},
		{"", "delete -range DIR k1 k1", exitOK, ""},
		{"", "scan -limit -1 DIR", exitUsage, ""},
		{"", "put DIR/../none/\x00 a b", exitFound, ""},
	} {
		args := strings.Fields(strings.ReplaceAll(c.args, "DIR", dir))
		code, out, errs := lsmRun(t, c.in, args...)
		require.Equal(t, c.code, code, "%s: %s", c.args, errs)
		require.Equal(t, c.out, out, c.args)
		require.Equal(t, code == exitOK, errs == "", "%s: %s", c.args, errs)
	}
	code, out, _ := lsmRun(t, "", "check", dir)
	require.Equal(t, exitOK, code)
	require.Contains(t, out, "ok:")
	code, out, _ = lsmRun(t, "", "stats", "-json", dir)
	require.Equal(t, exitOK, code)
	require.Contains(t, out, lsmStatsSchema)
	code, out, _ = lsmRun(t, "", "stats", dir)
	require.Equal(t, exitOK, code)
	require.Regexp(t, `(?m)^  memtables .* held .* filled .* B$`, out)
	require.Contains(t, out, "they lend each other room")
	code, out, _ = lsmRun(t, "", "compact", dir)
	require.Equal(t, exitOK, code)
	require.Contains(t, out, "wrote")
	code, out, errs := lsmRun(t, "", "get", "-h")
	require.Equal(t, exitOK, code)
	require.Contains(t, out, "Example:")
	require.Empty(t, errs)
}

// TestLsmCheckDamage: check finds fault with a log of which opening left out a part,
// unless it is the last write, cut short by a crash.
func TestLsmCheckDamage(t *testing.T) {
	for name, want := range map[string]int{
		"whole": exitOK, "C04-log-cut": exitOK, "C08-log-zeros": exitOK, "C17-manifest-unfinished": exitOK,
		"C06-log-flip-last": exitFound, "C08-log-garbage": exitFound, "C07-log-flip-middle": exitFound, "C12-table-data": exitFound,
	} {
		dir := filepath.Join("..", "..", "lsm", "testdata", "damaged", name, "db")
		code, out, errs := lsmRun(t, "", "check", dir)
		require.Equal(t, want, code, "%s: %s", name, errs)
		require.Equal(t, want == exitOK, strings.HasPrefix(out, "ok: "), name)
		code, out, _ = lsmRun(t, "", "check", "-json", dir)
		require.Equal(t, want, code, name)
		require.Contains(t, out, fmt.Sprintf(`"ok": %v`, want == exitOK), name)
	}
	dir := filepath.Join("..", "..", "lsm", "testdata", "damaged", "C07-log-flip-middle", "db")
	for _, mode := range []string{"point-in-time", "salvage"} {
		code, _, errs := lsmRun(t, "", "check", "-recovery", mode, dir)
		require.Equal(t, exitFound, code)
		require.Contains(t, errs, "000007.log: ")
	}
}

// A bad line is told in the words of JSON.
func TestLsmLoadSaysWhatIsWrong(t *testing.T) {
	for in, want := range map[string]string{
		`[]`:                                 "memlab lsm load: line 1: column 1: want an object, got an array\n",
		`{"op":"put","k":"61","v":"","x":1}`: "memlab lsm load: line 1: unknown field \"x\"\n",
		`{"op":"put","k":"61","v":""} {}`:    "memlab lsm load: line 1: column 30: more after the end of the JSON value\n",
	} {
		code, _, errs := lsmRun(t, in, "load", t.TempDir())
		require.Equal(t, exitFound, code)
		require.Equal(t, want, errs)
	}
}

// TestLsmLoadBadLine holds that a bad line is named, that all before it is there
// and nothing behind it.
func TestLsmLoadBadLine(t *testing.T) {
	for _, bad := range []string{
		`{"op":"put","k":"6g","v":""}`, `{"op":"put","k":"61"}`, `{"op":"put","v":"61"}`, `{"op":"set","k":"61","v":""}`,
		`{"op":"del","k":"61","v":""}`, `not JSON`, `{"op":"put","k":61,"v":""}`,
		`{"op":"put","k":"61","v":"","ttl":1}`, `[]`, `{"op":"del","k":"61"} 7`,
	} {
		dir := t.TempDir()
		in := strings.Repeat(`{"op":"put","k":"61","v":"62"}`+"\n", 4) + bad + "\n" + `{"op":"put","k":"7a","v":""}` + "\n"
		code, _, errs := lsmRun(t, in, "load", "-batch", "3", dir)
		require.Equal(t, exitFound, code, bad)
		require.Contains(t, errs, "line 5", bad)
		_, out, _ := lsmRun(t, "", "dump", dir)
		require.Equal(t, "{\"k\":\"61\",\"v\":\"62\"}\n", out, bad)
	}
}

// FuzzLoadLine reads any line: it is refused, or it is one record of a batch.
func FuzzLoadLine(f *testing.F) {
	for _, s := range []string{`{"op":"put","k":"61","v":"62"}`, `{"op":"del","k":"61"}`, `{"op":"put","k":"6"}`, `{}`, `[]`, "null", "\x00"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		l := &loader{}
		err := l.line(b)
		if want := 1; err == nil && len(b) > 0 && l.batch.Len() != want || err != nil && l.batch.Len() != 0 {
			t.Fatalf("%q: %d records, %v", b, l.batch.Len(), err)
		}
	})
}
