package memtable

import (
	"encoding/binary"
	"fmt"
	"testing"
)

func benchKey(key []byte, i int, order string) {
	n := uint64(i)
	if order == "random" {
		n *= 0x9e3779b97f4a7c15
	}
	binary.BigEndian.PutUint64(key, n)
}

func BenchmarkAdd(b *testing.B) {
	const limit = 500_000
	mem := make([]byte, limit*140)
	for _, order := range []string{"seq", "random"} {
		b.Run(fmt.Sprintf("order=%s", order), func(b *testing.B) {
			b.ReportAllocs()
			key, value := make([]byte, 16), make([]byte, 100)
			var s *SkipList
			var in Inserter
			i := limit
			for b.Loop() {
				if i == limit {
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
	const n = 500_000
	s, _ := NewSkipList(NewArena(make([]byte, n*140)), nil, 1)
	var in Inserter
	key, value := make([]byte, 16), make([]byte, 100)
	for i := range n {
		benchKey(key, i, "random")
		if err := s.Add(&in, key, uint64(i+1), 1, value); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		benchKey(key, i*7919%n, "random")
		if _, _, _, ok := s.Get(key, 1<<40); !ok {
			b.Fatal("missing")
		}
		i++
	}
}
