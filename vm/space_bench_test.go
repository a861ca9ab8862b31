package vm_test

import (
	"fmt"
	"testing"

	"github.com/memlab-go/memlab/vm"
	"github.com/stretchr/testify/require"
)

// BenchmarkSpaceWrite writes 8 bytes to page after page: all in memory, or half
// of them on swap at any time.
func BenchmarkSpaceWrite(b *testing.B) {
	for _, n := range []int{64, 256} {
		b.Run(fmt.Sprintf("frames=160/pages=%d", n), func(b *testing.B) {
			l := newLab(b, 160, labOptions{slots: 512})
			s, err := l.k.NewSpace()
			require.NoError(b, err)
			va := anon(b, s, n)
			data, i := []byte("8 bytes!"), 0
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Write(va+vm.VirtAddr(i*page), data); err != nil {
					b.Fatal(err)
				}
				if i++; i == n {
					i = 0
				}
			}
			b.ReportMetric(float64(l.k.Stats().Major)/float64(b.N), "major/op")
		})
	}
}

// BenchmarkFork forks a space of touched pages and ends the child.
func BenchmarkFork(b *testing.B) {
	for _, n := range []int{16, 256} {
		b.Run(fmt.Sprintf("pages=%d", n), func(b *testing.B) {
			l := newLab(b, 512, labOptions{})
			s, err := l.k.NewSpace()
			require.NoError(b, err)
			_, err = fill(b, s, anon(b, s, n), n)
			require.NoError(b, err)
			for b.Loop() {
				child, err := s.Fork()
				if err != nil {
					b.Fatal(err)
				}
				child.Destroy()
			}
		})
	}
}
