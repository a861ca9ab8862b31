package peers

import (
	"runtime"
	"syscall"
)

// yieldsToThreads is how often in a row a waiting goroutine leaves its processor to
// other threads before it does so to other goroutines.
const yieldsToThreads = 16

// await returns when ready reports true. As the C side does, it lets other threads run
// meanwhile, of which one may be what ready waits for; runtime.Gosched knows only of
// other goroutines, and a thread that calls it all the time uses up its share of the
// processor. Goroutines that runtime.LockOSThread ties to threads were tried, and ran
// side by side less often.
func await(ready func() bool) {
	for i := 1; !ready(); i++ {
		if i%yieldsToThreads == 0 {
			runtime.Gosched()
			continue
		}
		_, _, _ = syscall.RawSyscall(syscall.SYS_SCHED_YIELD, 0, 0, 0)
	}
}
