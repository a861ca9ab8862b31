package memtable

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/arena"
)

// benchEntries fill a memtable of 64 MiB.
const benchEntries = 500_000

// benchMem returns memory as a store's memtable has it: off the heap, in huge
// pages where the system gives them.
func benchMem(b *testing.B, size int) []byte {
	b.Helper()
	r, err := arena.Reserve(size, &arena.Options{HugePages: true})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, r.Close()) })
	require.NoError(b, r.Commit(0, size))
	clear(r.Bytes()[:size]) // the first touch is not what is measured
	return r.Bytes()[:size]
}

// benchKey makes the i-th key of 16 bytes: binary or of decimal digits, rising
// or scattered.
func benchKey(key []byte, i int, order string) {
	n := uint64(i)
	switch order {
	case "random":
		n *= 0x9e3779b97f4a7c15
	case "digits":
		n = n * 0x9e3779b97f4a7c15 >> 32 % 1_000_000
		for j := 15; j >= 0; j-- {
			key[j] = byte('0' + n%10)
			n /= 10
		}
		return
	}
	binary.BigEndian.PutUint64(key, n)
}

func BenchmarkAdd(b *testing.B) {
	mem := benchMem(b, benchEntries*140)
	for _, order := range []string{"seq", "random", "digits"} {
		b.Run(fmt.Sprintf("order=%s", order), func(b *testing.B) {
			b.ReportAllocs()
			key, value := make([]byte, 16), make([]byte, 100)
			var s *SkipList
			var in Inserter
			i := benchEntries
			for b.Loop() {
				if i == benchEntries {
					s, _ = NewSkipList(NewArena(mem), nil, 1)
					i = 0
				}
				benchKey(key, i, order)
				if err := s.Add(&in, key, uint64(i+1), 1, value); err != nil {
					b.Fatal(err)
				}
				i++
			}
		})
	}
}

func BenchmarkGet(b *testing.B) {
	for _, order := range []string{"random", "digits"} {
		b.Run(fmt.Sprintf("order=%s", order), func(b *testing.B) {
			s, _ := NewSkipList(NewArena(benchMem(b, benchEntries*140)), nil, 1)
			var in Inserter
			key, value := make([]byte, 16), make([]byte, 100)
			for i := range benchEntries {
				benchKey(key, i, order)
				if err := s.Add(&in, key, uint64(i+1), 1, value); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				benchKey(key, i*7919%benchEntries, order)
				if _, _, _, ok := s.Get(key, 1<<40); !ok {
					b.Fatal("missing")
				}
				i++
			}
		})
	}
}
