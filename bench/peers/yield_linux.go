package peers

import (
	"runtime"
	"syscall"
)

// yieldsToThreads is how often in a row a waiting goroutine leaves its processor to
// other threads before it does so to other goroutines, which it may have to if there is
// one processor. Some hundred microseconds: where there are two, the other goroutine has
// been found by the second one by then.
const yieldsToThreads = 1000

// await returns when ready reports true. As the C side does, it lets other threads run
// meanwhile, of which one may be what ready waits for. runtime.Gosched knows only of
// other goroutines: a thread that calls it all the time uses up its share of the
// processor, and of two goroutines that call it in turn one processor runs both.
func await(ready func() bool) {
	for i := 1; !ready(); i++ {
		if i%yieldsToThreads == 0 {
			runtime.Gosched()
			continue
		}
		_, _, _ = syscall.RawSyscall(syscall.SYS_SCHED_YIELD, 0, 0, 0)
	}
}
