package main

import (
	"bytes"
	"io"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/stretchr/testify/require"
)

// TestOutput holds what the program prints, apart from the Go heap.
func TestOutput(t *testing.T) {
	datadriven.RunTest(t, "testdata/output", func(t *testing.T, d *datadriven.TestData) string {
		var n int
		var seed uint64
		d.ScanArgs(t, "n", &n)
		d.ScanArgs(t, "seed", &seed)
		var out, heap bytes.Buffer
		require.NoError(t, run(&out, &heap, n, seed))
		require.Contains(t, heap.String(), "Go heap")
		return out.String()
	})
}

func TestBadCount(t *testing.T) {
	require.ErrorContains(t, run(io.Discard, io.Discard, 0, 1), "-n 0")
}
