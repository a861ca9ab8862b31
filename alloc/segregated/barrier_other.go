//go:build !linux

package segregated

import "time"

// hasBarrier reports whether there is a barrier for the whole process.
func hasBarrier() bool { return false }

// barrier is never called.
func barrier() {}

// doze is never called.
func doze(time.Duration) {}
