//go:build linux || darwin || freebsd

package segregated_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/alloc/segregated"
	"github.com/memlab-go/memlab/arena"
)

// In mode Guarded a bad access faults at once; Try makes an error of it.
func ExampleHeap_Try() {
	region, err := arena.Reserve(64<<20, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer region.Close()
	h, err := segregated.New(region, &segregated.Options{Mode: segregated.Guarded})
	if err != nil {
		fmt.Println(err)
		return
	}
	b, _ := h.Malloc(64)
	h.Free(b)
	err = h.Try(func() { b[10] = 1 })
	fmt.Println(errors.Is(err, alloc.ErrUseAfterFree))
	// Output:
	// true
}

// A heap in a file is there again for the next process: the root leads to its
// data, offsets from one block to the other.
func ExampleOpen() {
	dir, err := os.MkdirTemp("", "heap")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	file := &arena.Options{Backing: arena.File, Path: filepath.Join(dir, "heap")}

	// The first process.
	region, err := arena.Reserve(1<<20, file)
	if err != nil {
		fmt.Println(err)
		return
	}
	h, _ := segregated.New(region, nil)
	text, _ := h.Malloc(5)
	copy(text, "hello")
	root, _ := h.Malloc(16)
	binary.LittleEndian.PutUint64(root, uint64(h.Offset(text)))
	binary.LittleEndian.PutUint64(root[8:], uint64(len(text)))
	h.SetRoot(root)
	fmt.Println(h.Close(), region.Close())

	// The second one, where the file lies at another address.
	region, err = arena.Reserve(1<<20, file)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer region.Close()
	h, err = segregated.Open(region, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer h.Close()
	root = h.Root()
	text, err = h.At(arena.Offset(binary.LittleEndian.Uint64(root)))
	fmt.Println(string(text[:binary.LittleEndian.Uint64(root[8:])]), err)
	// Output:
	// <nil> <nil>
	// hello <nil>
}
