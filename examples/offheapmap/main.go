// Command offheapmap puts millions of entries with string keys into a Go map
// and into a hash table off the heap, checks that both hold the same, and shows
// what each costs the garbage collector. The first part of the output is the
// same on every machine; the times after it are not.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"strconv"

	"github.com/memlab-go/memlab/alloc/segregated"
	"github.com/memlab-go/memlab/arena"
)

func main() {
	log.SetFlags(0)
	n := flag.Int("n", 2_000_000, "entries")
	seed := flag.Uint64("seed", 1, "seed of the keys")
	flag.Parse()
	if err := run(os.Stdout, os.Stdout, *n, *seed); err != nil {
		log.Fatal("offheapmap: ", err)
	}
}

// A visit is what the maps hold for each key: without pointers, so that it can
// live off the heap.
type visit struct {
	Count uint32
	Last  uint32
}

// run writes the story to w and the times to times.
func run(w, times io.Writer, n int, seed uint64) error {
	if n < 1 {
		return fmt.Errorf("-n %d: want at least one entry", n)
	}
	fmt.Fprintf(w, "%d entries, each a string key and a value of 8 bytes.\n\n", n)
	goCost, goSum := measure(func() (uint64, any) {
		m := make(map[string]*visit)
		var key []byte
		for i := range n {
			key = keyOf(key, seed, i)
			m[string(key)] = &visit{Count: 1, Last: uint32(i)}
		}
		for i := 0; i < n; i += 3 {
			key = keyOf(key, seed, i)
			m[string(key)].Count++
		}
		for i := 0; i < n; i += 5 {
			key = keyOf(key, seed, i)
			delete(m, string(key))
		}
		var sum uint64
		for i := range n {
			key = keyOf(key, seed, i)
			if v := m[string(key)]; v != nil {
				sum = sum*31 + uint64(v.Count)<<32 + uint64(v.Last)
			}
		}
		return sum, m
	})

	r, err := arena.Reserve(0, nil)
	if err != nil {
		return err
	}
	h, err := segregated.New(r, nil)
	if err != nil {
		return err
	}
	var table *Table
	offCost, offSum := measure(func() (uint64, any) {
		var sum uint64
		table, sum, err = fill(h, r, n, seed)
		return sum, table
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "Go map:    checksum %016x, the collector finds the data on its heap: %v\n", goSum, goCost.heap > int64(n)*16)
	fmt.Fprintf(w, "off heap:  checksum %016x, the collector finds the data on its heap: %v\n", offSum, offCost.heap > int64(n)*16)
	fmt.Fprintf(w, "\nBoth hold the same: %v. The table has %d entries, as it should: %v.\n",
		goSum == offSum, table.Len(), table.Len() == n-(n+4)/5)

	report(times, goCost, offCost)
	table.Close()
	fmt.Fprintf(w, "\nEvery key was freed by itself; blocks left in the heap: %d.\n", h.Stats().LiveBlocks)
	return errors.Join(h.Close(), r.Close())
}

// fill does with the table what run does with the map.
func fill(h *segregated.Heap, r *arena.Region, n int, seed uint64) (*Table, uint64, error) {
	t, err := NewTable(h, r)
	if err != nil {
		return nil, 0, err
	}
	var key []byte
	for i := range n {
		key = keyOf(key, seed, i)
		v, err := t.Put(key)
		if err != nil {
			return nil, 0, err
		}
		*v = visit{Count: 1, Last: uint32(i)}
	}
	for i := 0; i < n; i += 3 {
		key = keyOf(key, seed, i)
		t.Get(key).Count++
	}
	for i := 0; i < n; i += 5 {
		key = keyOf(key, seed, i)
		t.Delete(key)
	}
	var sum uint64
	for i := range n {
		key = keyOf(key, seed, i)
		if v := t.Get(key); v != nil {
			sum = sum*31 + uint64(v.Count)<<32 + uint64(v.Last)
		}
	}
	return t, sum, nil
}

// keyOf writes the key of entry i into buf.
func keyOf(buf []byte, seed uint64, i int) []byte {
	x := (uint64(i) + seed<<40) * 0x9E3779B97F4A7C15
	buf = append(buf[:0], "user/"...)
	return strconv.AppendUint(buf, x>>20, 36)
}
