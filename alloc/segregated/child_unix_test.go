//go:build unix

package segregated

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/memlab-go/memlab/alloc"
)

// runChild runs the death test of this name and exits.
func runChild(name string) {
	if err := map[string]func() error{"rlimit": underRlimit}[name](); err != nil {
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
