package main

import (
	"os"
	"testing"
)

// TestMain lets the test binary stand in for memlab where a command starts its
// own program again to measure in a fresh process.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "replay" && os.Args[2] == "-in-process" {
		main()
		return
	}
	os.Exit(m.Run())
}
