//go:build !linux

package arena_test

import "fmt"

// runChild is what copies of the test binary do.
func runChild(name string) error { return fmt.Errorf("no case %q on this system", name) }
