//go:build !linux

package segregated

// hasBarrier reports whether there is a barrier for the whole process.
func hasBarrier() bool { return false }

// barrier is never called.
func barrier() {}
