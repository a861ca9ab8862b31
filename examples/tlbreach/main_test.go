package main

import (
	"bytes"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/stretchr/testify/require"
)

// TestOutput holds what the program prints for some seeds.
func TestOutput(t *testing.T) {
	datadriven.RunTest(t, "testdata/output", func(t *testing.T, d *datadriven.TestData) string {
		var seed uint64
		d.ScanArgs(t, "seed", &seed)
		var out bytes.Buffer
		require.NoError(t, run(&out, seed))
		return out.String()
	})
}
