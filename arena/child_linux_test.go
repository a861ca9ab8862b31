package arena_test

import (
	"errors"
	"fmt"
	"math"
	"os"

	"golang.org/x/sys/unix"

	"github.com/memlab-go/memlab/arena"
)

// runChild is what copies of the test binary do.
func runChild(name string) error {
	switch name {
	case "maps":
		maps, err := os.ReadFile("/proc/self/maps")
		fmt.Print(string(maps))
		return err
	case "rlimit":
		return survivesLittleAddressSpace()
	}
	return fmt.Errorf("no case %q", name)
}

// survivesLittleAddressSpace limits the process to 3 GiB of addresses.
func survivesLittleAddressSpace() error {
	const limit = 3 << 30
	if err := unix.Setrlimit(unix.RLIMIT_AS, &unix.Rlimit{Cur: limit, Max: limit}); err != nil {
		return err
	}
	if _, err := arena.Reserve(min(8<<30, math.MaxInt-1<<20), nil); !errors.Is(err, unix.ENOMEM) {
		return fmt.Errorf("Reserve(8 GiB) = %v, want ENOMEM", err)
	}
	r, err := arena.Reserve(0, nil)
	if err != nil {
		return fmt.Errorf("the default size is not halved: %w", err)
	}
	if uint64(r.Size()) > limit {
		return fmt.Errorf("%d bytes were granted", r.Size())
	}
	if err := r.Commit(0, 1<<20); err != nil {
		return err
	}
	r.Bytes()[1<<19] = 1
	var a arena.Arena
	for {
		if _, err := a.Alloc(100<<20, 8); err != nil {
			if !errors.Is(err, unix.ENOMEM) {
				return fmt.Errorf("Alloc = %v, want ENOMEM", err)
			}
			break
		}
	}
	if err := errors.Join(a.Check(), a.Close(), r.Close()); err != nil {
		return err
	}
	heap := make([]byte, 32<<20) // Go's own heap still grows
	heap[len(heap)-1] = 1
	fmt.Println("survived")
	return nil
}
