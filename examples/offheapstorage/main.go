// Command offheapstorage shows where every byte of a running store lives: in the
// memtable, the block cache, index and filter blocks, the log buffer, on the disk,
// and how little of it on the Go heap. The first part of each line is the same on
// every machine; the Go heap beside it is not.
package main

import (
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"runtime"

	"github.com/memlab-go/memlab/lsm"
	"github.com/memlab-go/memlab/lsm/vfs"
)

func main() {
	log.SetFlags(0)
	n := flag.Int("n", 200_000, "entries of 16+100 bytes")
	seed := flag.Uint64("seed", 1, "seed of the keys")
	flag.Parse()
	if err := run(os.Stdout, os.Stdout, *n, *seed); err != nil {
		log.Fatal("offheapstorage: ", err)
	}
}

// A tour fills a store in steps and prints where things are after each.
type tour struct {
	out, heap io.Writer
	d         *lsm.DB
	dir       string
	n         int
	seed      uint64
	base      uint64 // live Go heap before the store was opened
	err       error
}

func run(out, heap io.Writer, n int, seed uint64) (err error) {
	if n < 1 || n > 5_000_000 {
		return fmt.Errorf("-n %d: want 1 to 5000000 entries", n)
	}
	dir, err := os.MkdirTemp("", "offheapstorage")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	t := &tour{out: out, heap: heap, dir: dir, n: n, seed: seed, base: liveHeap()}
	t.d, err = lsm.Open(dir, &lsm.Options{
		WriteBufferSize: 4<<20 + 140*n, // all entries fit: nothing moves before we say so
		BlockCacheSize:  8 << 20, TablesSize: 8 << 20, MaxCompactions: -1, Compression: lsm.None,
	})
	if err != nil {
		return err
	}
	t.walk()
	return errors.Join(t.err, t.d.Close())
}

// walk is the story.
func (t *tour) walk() {
	fmt.Fprintf(t.out, "%d entries of 16+100 bytes are %d bytes of payload.\n", t.n, 116*t.n)
	t.show("An empty store has reserved its regions, and touched little of them.")
	t.do(t.put)
	t.show("Written: each entry is in the log on the disk, and in the memtable.")
	m := t.d.Stats().Memory
	fmt.Fprintf(t.out, "   An entry takes %.1f bytes there: 116 of payload, 6 of tag and lengths,\n"+
		"   2 of padding, and 4 for each of its 1.6 links.\n", float64(m.MemtableUse)/float64(t.n))
	t.do(t.d.Flush)
	t.show("Flushed: the entries are in a table; memory holds its index and its filter.")
	t.do(t.read)
	t.show("One key in a hundred was read: the blocks it is in are in the cache now.")
	t.do(func() error { return t.d.CompactRange(nil, nil) })
	t.show("Compacted: there was nothing to merge, so the table changed its level as it is.")
}

func (t *tour) do(step func() error) {
	if t.err == nil {
		t.err = step()
	}
}

// key makes the i-th key: scattered, but the same each time.
func (t *tour) key(b []byte, i int) []byte {
	return binary.BigEndian.AppendUint64(append(b[:0], "user:id:"...), (uint64(i)+t.seed)*0x9e3779b97f4a7c15)
}

func (t *tour) put() error {
	var b lsm.Batch
	key, value := make([]byte, 0, 16), make([]byte, 100)
	for i := range t.n {
		key = t.key(key, i)
		b.Put(key, value)
		if b.Len() == 1000 || i == t.n-1 {
			if err := t.d.Apply(&b, nil); err != nil {
				return err
			}
			b.Reset()
		}
	}
	return nil
}

func (t *tour) read() error {
	var buf, key []byte
	var err error
	for i := 0; i < t.n; i += 100 {
		key = t.key(key, i)
		if buf, err = t.d.AppendTo(buf[:0], key); err != nil {
			return err
		}
	}
	return nil
}

// show prints where the bytes are.
func (t *tour) show(title string) {
	if t.err != nil {
		return
	}
	m := t.d.Stats().Memory
	fmt.Fprintf(t.out, "\n%s\n", title)
	fmt.Fprintf(t.out, "   memtable, filled   %9d bytes, %d entries\n", m.MemtableUse, m.Entries)
	fmt.Fprintf(t.out, "   index and filters  %9d\n   block cache        %9d\n", m.Tables.Used, m.BlockCache.Used)
	fmt.Fprintf(t.out, "   both together      %9d of %d; they lend each other room\n",
		m.Tables.Used+m.BlockCache.Used, m.Tables.Bytes+m.BlockCache.Bytes)
	fmt.Fprintf(t.out, "   log buffer         %9d\n", m.LogBuffer.Used)
	log, tables, err := t.onDisk()
	t.do(func() error { return err })
	fmt.Fprintf(t.out, "   disk: log          %9d\n   disk: tables       %9d\n", log, tables)
	fmt.Fprintf(t.heap, "   Go heap            %9d more than before, live\n", int64(liveHeap())-int64(t.base))
}

// onDisk adds up the files. The sizes of tables come from the store, whose removal
// of old ones may lag behind.
func (t *tour) onDisk() (log, tables int64, err error) {
	for _, l := range t.d.Stats().Levels {
		tables += int64(l.Bytes)
	}
	dir, err := vfs.OS().OpenDir(t.dir, false)
	if err != nil {
		return 0, 0, err
	}
	names, err := dir.List()
	last := ""
	for _, name := range names {
		if len(name) > 4 && name[len(name)-4:] == ".log" {
			last = name
		}
	}
	if err == nil && last != "" {
		var info vfs.Info
		info, err = dir.Stat(last)
		log = info.Size
	}
	return log, tables, errors.Join(err, dir.Close())
}

// liveHeap is what a collection leaves on the Go heap.
func liveHeap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
