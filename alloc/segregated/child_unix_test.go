//go:build unix

package segregated

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/memlab-go/memlab/alloc"
)

// haveChildren says that there are cases for processes of their own.
const haveChildren = true

// runChild runs the death test of this name and exits.
func runChild(name string) {
	cases := map[string]func() error{"rlimit": underRlimit, "afterclose": afterClose, "maps": guardEverything, "persist": persistChild, "reopen": reopenChild}
	if err := cases[name](); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(0)
}

// underRlimit makes a heap while the address space is limited to 2 GiB: New
// takes what it gets, and running out is an error.
func underRlimit() error {
	lim := syscall.Rlimit{Cur: 2 << 30, Max: 2 << 30}
	if err := syscall.Setrlimit(syscall.RLIMIT_AS, &lim); err != nil {
		return nil // not ours to test where it cannot be set
	}
	h, err := New(nil, nil)
	if err != nil {
		return err
	}
	if _, err := h.Malloc(2<<30 - 1); !errors.Is(err, alloc.ErrNoMemory) {
		return fmt.Errorf("2 GiB of 2: %v", err)
	}
	b, err := h.Malloc(1 << 20)
	if err != nil {
		return err
	}
	h.Free(b)
	return h.Close()
}

// afterClose reads a view of a checked heap that was closed, which ends the
// process.
func afterClose() error {
	h, err := New(nil, &Options{Mode: Checked})
	if err != nil {
		return err
	}
	b, err := h.Malloc(100)
	if err != nil {
		return err
	}
	h.Close()
	return fmt.Errorf("read %d", b[0])
}

// guardEverything guards more blocks than the system has mappings for. The heap
// stops in time: the Go heap can still grow.
func guardEverything() error {
	h, err := New(nil, &Options{Mode: Guarded})
	if err != nil {
		return err
	}
	n := maxMappings()
	for range n {
		if _, err := h.Malloc(64); err != nil {
			return err
		}
	}
	r := h.ModeReport()
	if r.GuardedLive < n/16 || r.GuardFallbacks < uint64(n/2) {
		return fmt.Errorf("of %d blocks %d are guarded and %d are not", n, r.GuardedLive, r.GuardFallbacks)
	}
	var grown [][]byte
	for range 256 {
		grown = append(grown, make([]byte, 1<<20))
		grown[len(grown)-1][0] = 1
	}
	if len(grown) != 256 {
		return errors.New("the Go heap has not grown")
	}
	return nil
}
