package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/stretchr/testify/require"
)

// TestOutput holds what the program prints: the script, and commands of the test
// file in a store that they share.
func TestOutput(t *testing.T) {
	dir := t.TempDir()
	datadriven.RunTest(t, "testdata/output", func(t *testing.T, d *datadriven.TestData) string {
		var out bytes.Buffer
		where := dir
		if d.Cmd == "script" {
			where = ""
		}
		require.NoError(t, run(&out, strings.NewReader(d.Input), d.Cmd == "shell", where))
		return out.String()
	})
}
