package arena_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/memlab-go/memlab/arena"
)

func Example() {
	var a arena.Arena // zero value: ready
	defer a.Close()
	type point struct{ X, Y float64 }
	p, _ := arena.New[point](&a)
	p.X = 3
	path, _ := arena.MakeSlice[point](&a, 0, 1000) // off the Go heap
	path = append(path, *p, point{1, 2})
	fmt.Println(len(path), path[0].X+path[1].Y)
	// Output: 2 5
}

func ExampleReserve() {
	r, err := arena.Reserve(1<<30, &arena.Options{Limit: 1 << 20})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer r.Close()
	fmt.Println("reserved ", r.Size())
	fmt.Println("commit 64 KiB:", r.Commit(0, 64<<10))
	copy(r.Bytes(), "hello")
	fmt.Println("commit 2 MiB: ", r.Commit(0, 2<<20))
	fmt.Println("committed", r.Stats().Committed)
	// Output:
	// reserved  1073741824
	// commit 64 KiB: <nil>
	// commit 2 MiB:  arena: commit 2097152 bytes: out of room: byte limit reached (have 65536, limit 1048576)
	// committed 65536
}

func ExampleReserve_file() {
	dir, _ := os.MkdirTemp("", "arena")
	defer os.RemoveAll(dir)
	o := &arena.Options{Backing: arena.File, Path: filepath.Join(dir, "heap")}
	r, err := arena.Reserve(1<<20, o)
	if errors.Is(err, errors.ErrUnsupported) {
		fmt.Println("still here") // no file mappings on this system
		return
	}
	_ = r.Commit(0, 4096)
	copy(r.Bytes(), "still here")
	_ = r.Close()

	r, _ = arena.Reserve(1<<20, o)
	defer r.Close()
	fmt.Println(string(r.Bytes()[:10]))
	// Output: still here
}

func ExampleFromBytes() {
	memory := make([]byte, 1<<16) // a simulated machine's
	r := arena.FromBytes(memory)
	_ = r.Commit(0, 4096)
	r.Bytes()[7] = 42
	fmt.Println(memory[7], r.Owns(memory[100:200]), r.Owns(make([]byte, 1)))
	// Output: 42 true false
}

func ExampleRegion_Committed() {
	r, _ := arena.Reserve(1<<20, nil)
	defer r.Close()
	_ = r.Commit(0, 1<<18)
	_ = r.Decommit(1<<16, 1<<16)
	for lo, hi := range r.Committed() {
		fmt.Printf("%#x to %#x\n", lo, hi)
	}
	// Output:
	// 0x0 to 0x10000
	// 0x20000 to 0x40000
}

func ExampleArena_Release() {
	var a arena.Arena
	defer a.Close()
	used := func() int { return a.Stats().Used }

	frame := a.Mark() // a function begins
	_, _ = a.Alloc(104, 8)
	inner := a.Mark() // it calls another
	_, _ = a.Alloc(1000, 8)
	fmt.Println("in the inner call:", used())
	_ = a.Release(inner)
	fmt.Println("after it:", used())
	_ = a.Release(frame)
	fmt.Println("at the end:", used())
	// Output:
	// in the inner call: 1104
	// after it: 104
	// at the end: 0
}

func ExampleMakeSlice() {
	var a arena.Arena
	defer a.Close()
	type user struct {
		ID   int
		Name string
	}
	defer func() { fmt.Println(recover()) }()
	_, _ = arena.MakeSlice[user](&a, 0, 10)
	// Output: arena: MakeSlice[arena_test.user]: type has pointers: field Name has a pointer
}

func ExampleConcurrent() {
	c, _ := arena.NewConcurrent(1<<20, nil)
	defer c.Close()
	off, b, err := c.Alloc(5, 8)
	copy(b, "hello")
	fmt.Println(off, string(c.Bytes()[off:][:5]), err)
	_, _, err = c.Alloc(1<<20, 8)
	fmt.Println(errors.Is(err, arena.ErrFull), c.Used())
	// Output:
	// 16 hello <nil>
	// true 21
}
