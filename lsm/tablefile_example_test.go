package lsm_test

import (
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/memlab-go/memlab/lsm"
)

// A table is useful by itself: written once, sorted, then searched without
// loading it.
func ExampleNewTableWriter() {
	dir, err := os.MkdirTemp("", "table")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "colours.ldb")

	w, err := lsm.NewTableWriter(path, nil)
	if err != nil {
		log.Fatal(err)
	}
	for _, kv := range [][2]string{{"blue", "0000ff"}, {"green", "00ff00"}, {"red", "ff0000"}} {
		if err := w.Put([]byte(kv[0]), []byte(kv[1])); err != nil {
			log.Fatal(err)
		}
	}
	info, err := w.Finish()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d entries from %s to %s\n", info.Entries, info.Smallest, info.Largest)

	t, err := lsm.OpenTable(path, nil)
	if err != nil {
		log.Fatal(err)
	}
	v, err := t.Get([]byte("green"))
	fmt.Printf("green is %s, error %v\n", v, err)
	_, err = t.Get([]byte("grey"))
	fmt.Println("grey:", err)

	it, err := t.NewIter(&lsm.IterOptions{LowerBound: []byte("c")})
	if err != nil {
		log.Fatal(err)
	}
	for k, v := range it.All() {
		fmt.Printf("%s = %s\n", k, v)
	}
	fmt.Println(it.Close(), t.Close())
	// Output:
	// 3 entries from blue to red
	// green is 00ff00, error <nil>
	// grey: lsm: not found
	// green = 00ff00
	// red = ff0000
	// <nil> <nil>
}
