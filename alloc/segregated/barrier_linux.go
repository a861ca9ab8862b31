package segregated

import (
	"time"

	"golang.org/x/sys/unix"
)

// Commands of membarrier(2).
const (
	barrierPrivate  = 1 << 3
	barrierRegister = 1 << 4
)

// hasBarrier registers the process for barriers and reports whether it may use
// them. Registering again costs nothing.
func hasBarrier() bool {
	_, _, errno := unix.Syscall(unix.SYS_MEMBARRIER, barrierRegister, 0, 0)
	return errno == 0
}

// barrier orders memory on every processor that runs this process, as if each
// had executed a full fence.
func barrier() {
	if _, _, errno := unix.Syscall(unix.SYS_MEMBARRIER, barrierPrivate, 0, 0); errno != 0 {
		panic("segregated: membarrier: " + errno.Error()) // it worked when it was registered
	}
}

// doze leaves the processor to other threads for so long. [time.Sleep] would not do: in a bubble of
// testing/synctest it waits until all others wait, too, and one may wait for a mutex that the
// caller holds.
func doze(d time.Duration) {
	t := unix.NsecToTimespec(d.Nanoseconds())
	_ = unix.Nanosleep(&t, nil) // a signal may end it sooner
}
