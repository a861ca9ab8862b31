package vm_test

import (
	"fmt"
	"testing"

	"github.com/memlab-go/memlab/vm"
	"github.com/memlab-go/memlab/vm/replace"
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

// BenchmarkCloseFile closes a file whose pages only its page cache has, under local
// replacement: the time for each page does not grow with the file.
func BenchmarkCloseFile(b *testing.B) {
	for _, n := range []int{256, 16384} {
		b.Run(fmt.Sprintf("pages=%d", n), func(b *testing.B) {
			l := newLab(b, n+128, labOptions{local: func() (vm.Policy, vm.Quota) { return replace.NewFIFO(), replace.FixedQuota(n) }})
			disk := &memDevice{b: make([]byte, n*page)}
			for b.Loop() {
				b.StopTimer()
				f, err := l.k.OpenFile(disk, uint64(n*page))
				require.NoError(b, err)
				s := l.space(b)
				va, err := s.Mmap(0, uint64(n*page), vm.PermR, &vm.MapOptions{File: f})
				require.NoError(b, err)
				for i := range n {
					_, err := s.Read(va+vm.VirtAddr(i*page), make([]byte, 1))
					require.NoError(b, err)
				}
				s.Destroy()
				require.Equal(b, n, f.Cached())
				b.StartTimer()
				require.NoError(b, f.Close())
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/page")
		})
	}
}
