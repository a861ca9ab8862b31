package vfs_test

import (
	"errors"
	"fmt"
	"log"

	"github.com/memlab-go/memlab/lsm/vfs"
)

// write makes a file and syncs its bytes, but not its name.
func write(d vfs.Dir, name, content string) error {
	f, err := d.Create(name)
	if err != nil {
		return err
	}
	_, err = f.Write([]byte(content))
	return errors.Join(err, f.Sync(), f.Close())
}

// A synced file whose directory was not synced is gone after a power failure.
func ExampleMem_CrashClone() {
	m := vfs.NewMem()
	d, err := m.OpenDir("db", true)
	if err != nil {
		log.Fatal(err)
	}
	for _, name := range []string{"a", "b"} {
		if err := write(d, name, "bytes"); err != nil {
			log.Fatal(err)
		}
		if name == "a" {
			if err := d.Sync(); err != nil {
				log.Fatal(err)
			}
		}
	}
	before, _ := d.List()
	after, err := m.CrashClone(0, 1).OpenDir("db", false)
	if err != nil {
		log.Fatal(err)
	}
	left, _ := after.List()
	fmt.Println(before, "→", left)
	// Output: [a b] → [a]
}

// The second write finds the disk full.
func ExampleInjector() {
	in := vfs.NewInjector(vfs.NewMem())
	full := errors.New("no space left on device")
	in.Decide(vfs.FailNthOp(vfs.OpWrite, 2, full))
	d, err := in.OpenDir("db", true)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(write(d, "a", "first"))
	fmt.Println(write(d, "b", "second"))
	fmt.Println(in.Calls(), "calls")
	// Output:
	// <nil>
	// no space left on device
	// 9 calls
}
