package lsm_test

import (
	"errors"
	"fmt"
	"log"

	"github.com/memlab-go/memlab/lsm"
	"github.com/memlab-go/memlab/lsm/vfs"
)

// open opens a store in memory, which is what the examples use instead of a
// directory.
func open() *lsm.DB {
	d, err := lsm.Open("db", &lsm.Options{FS: vfs.NewMem()})
	if err != nil {
		log.Fatal(err)
	}
	return d
}

// check ends the example when something fails that should not.
func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func Example() {
	d := open()
	check(d.Put([]byte("apple"), []byte("red")))
	check(d.Put([]byte("banana"), []byte("yellow")))
	check(d.Delete([]byte("apple")))
	v, err := d.Get([]byte("banana"))
	fmt.Println(string(v), err)
	_, err = d.Get([]byte("apple"))
	fmt.Println(errors.Is(err, lsm.ErrNotFound))
	check(d.Close())
	// Output:
	// yellow <nil>
	// true
}

func ExampleDB_AppendTo() {
	d := open()
	check(d.Put([]byte("k"), []byte("value")))
	buf := make([]byte, 0, 64) // used again for each read: no allocation
	buf, err := d.AppendTo(buf[:0], []byte("k"))
	fmt.Println(string(buf), err)
	check(d.Close())
	// Output: value <nil>
}

func ExampleBatch() {
	d := open()
	var b lsm.Batch
	b.Put([]byte("from"), []byte("70"))
	b.Put([]byte("to"), []byte("30"))
	check(d.Apply(&b, &lsm.WriteOptions{Durability: lsm.Sync})) // both or none
	fmt.Println(b.Len())
	check(d.Close())
	// Output: 2
}

func ExampleIterator() {
	d := open()
	for _, k := range []string{"a1", "b1", "b2", "b3", "c1"} {
		check(d.Put([]byte(k), nil))
	}
	it, err := d.NewIter(&lsm.IterOptions{LowerBound: []byte("b"), UpperBound: []byte("c")})
	check(err)
	for k := range it.All() {
		fmt.Print(string(k), " ")
	}
	for ok := it.Last(); ok; ok = it.Prev() {
		fmt.Print(string(it.Key()), " ")
	}
	fmt.Println(it.SeekGE([]byte("b2x")), string(it.Key()))
	check(it.Close())
	check(d.Close())
	// Output: b1 b2 b3 b3 b2 b1 true b3
}

func ExampleSnapshot() {
	d := open()
	check(d.Put([]byte("k"), []byte("before")))
	s, err := d.NewSnapshot()
	check(err)
	check(d.Put([]byte("k"), []byte("after")))
	old, err := s.Get([]byte("k"))
	check(err)
	now, err := d.Get([]byte("k"))
	check(err)
	fmt.Println(string(old), string(now))
	check(s.Close())
	check(d.Close())
	// Output: before after
}

func ExampleDB_DeleteRange() {
	d := open()
	for _, k := range []string{"a", "b", "c", "d"} {
		check(d.Put([]byte(k), nil))
	}
	check(d.DeleteRange([]byte("b"), []byte("d")))
	it, err := d.NewIter(nil)
	check(err)
	for k := range it.All() {
		fmt.Print(string(k), " ")
	}
	check(it.Close())
	check(d.Close())
	// Output: a d
}

func ExampleOptions() {
	_, err := lsm.Open("db", &lsm.Options{FS: vfs.NewMem(), MemoryLimit: 8 << 20, WriteBufferSize: 16 << 20})
	fmt.Println(errors.Is(err, lsm.ErrOptions))
	d, err := lsm.Open("db", &lsm.Options{FS: vfs.NewMem(), MemoryLimit: 8 << 20})
	check(err)
	m := d.Stats().Memory
	fmt.Println(m.Memtables.Bytes, m.BlockCache.Bytes, m.Tables.Bytes, m.LogBuffer.Bytes)
	check(d.Close())
	// Output:
	// true
	// 4194304 3047424 1015808 131072
}

func ExampleDB_Check() {
	d := open()
	check(d.Put([]byte("k"), nil))
	check(d.Flush())
	fmt.Println(d.Check())
	check(d.Close())
	// Output: <nil>
}

func ExampleEvent() {
	d, err := lsm.Open("db", &lsm.Options{FS: vfs.NewMem(), Events: func(e lsm.Event) {
		if e.Kind == lsm.FlushEnd {
			fmt.Println(e.Kind, e.Files, e.Err)
		}
	}})
	check(err)
	check(d.Put([]byte("k"), []byte("v")))
	check(d.Flush())
	check(d.Close())
	// Output: flush-end 1 <nil>
}
