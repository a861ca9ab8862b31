package vm_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/memlab-go/memlab/vm"
	"github.com/memlab-go/memlab/vm/pagetable"
	"github.com/memlab-go/memlab/vm/replace"
	"github.com/stretchr/testify/require"
)

// hugeCase is a format and the size of its huge pages.
type hugeCase struct {
	format *pagetable.Format
	size   uint64
	table  pagetable.Options
}

func (c hugeCase) String() string { return fmt.Sprintf("%s/%dKiB", c.format.Name, c.size>>10) }

func hugeCases() []hugeCase {
	return []hugeCase{
		{&pagetable.X86_64, 2 << 20, pagetable.Options{}},
		{&pagetable.X86PAE, 2 << 20, pagetable.Options{}},
		{&pagetable.X86, 4 << 20, pagetable.Options{}},
		{&pagetable.Sv39, 2 << 20, pagetable.Options{}},
		{&pagetable.Sv39, 2 << 20, pagetable.Options{SoftwareAccessed: true, SoftwareDirty: true}},
		{&pagetable.Sv39, 64 << 10, pagetable.Options{Svnapot: true}},
		{&pagetable.Sv32, 4 << 20, pagetable.Options{}},
		{&pagetable.ARM64_4K, 2 << 20, pagetable.Options{}},
	}
}

// hugeRig is a lab with one range that is a huge page already.
type hugeRig struct {
	*lab
	s      *vm.Space
	va     vm.VirtAddr // of the huge page; the area goes on for a page on both sides
	n      int         // pages of it
	events []vm.Event
}

func newHugeRig(t *testing.T, c hugeCase) *hugeRig {
	r := &hugeRig{n: int(c.size / page)}
	r.lab = newLab(t, 2*r.n+64, labOptions{format: c.format, table: c.table, slots: 4*r.n + 128, huge: c.size, events: func(e vm.Event) {
		switch e.Kind {
		case vm.EventPromote, vm.EventDemote:
			r.events = append(r.events, e)
		}
	}})
	r.s = r.space(t)
	r.va = vm.VirtAddr(2 * c.size)
	_, err := r.s.Mmap(r.va-page, c.size+2*page, vm.PermR|vm.PermW, nil)
	require.NoError(t, err)
	for i := r.n - 1; i >= 0; i-- { // downwards, so that the frames are not adjacent as they come
		require.Empty(t, r.s.HugePages())
		_, err := r.s.Write(r.at(i), []byte(fmt.Sprintf("page %04d", i)))
		require.NoError(t, err)
	}
	require.Equal(t, []vm.VirtAddr{r.va}, r.s.HugePages())
	require.Equal(t, int64(1), r.k.Stats().Promotions)
	require.Equal(t, []vm.Event{{Kind: vm.EventPromote, ASID: r.s.ASID(), VA: r.va}}, r.events)
	require.NoError(t, r.k.Check())
	return r
}

// TestHugePagesWhereverMemoryBegins: blocks of frames are aligned in physical
// addresses, so memory may begin at any page.
func TestHugePagesWhereverMemoryBegins(t *testing.T) {
	const size = 2 << 20
	for _, base := range []vm.PhysAddr{0, page, 0x8000_1000, 0x8010_0000} {
		mem, err := vm.NewMemory(make([]byte, 3*size+5*page), base)
		require.NoError(t, err)
		k, err := vm.NewKernel(mem, 0, &vm.KernelOptions{HugePage: size, StackSize: 16 * page, NewTable: func(src vm.FrameSource) (vm.Mapper, error) {
			return pagetable.New(mem, &pagetable.X86_64, &pagetable.Options{Frames: src})
		}})
		require.NoError(t, err)
		s, err := k.NewSpace()
		require.NoError(t, err)
		_, err = s.Mmap(size, size, vm.PermR|vm.PermW, nil)
		require.NoError(t, err)
		for i := size/page - 1; i >= 0; i-- {
			_, err := s.Write(size+vm.VirtAddr(i*page), []byte{byte(i)})
			require.NoError(t, err)
		}
		require.Equal(t, []vm.VirtAddr{size}, s.HugePages(), "memory at %v", base)
		require.Zero(t, k.Stats().PromoteFails)
		require.NoError(t, k.Check())
		for i := range size / page {
			b := []byte{0}
			_, err := s.Read(size+vm.VirtAddr(i*page), b)
			require.NoError(t, err)
			require.Equal(t, byte(i), b[0])
		}
	}
}

func (r *hugeRig) at(i int) vm.VirtAddr { return r.va + vm.VirtAddr(i*page) }

// demoted checks that the huge page has just become small ones, and that the
// pages not in without still hold their bytes.
func (r *hugeRig) demoted(t *testing.T, without ...int) {
	t.Helper()
	require.NoError(t, r.k.Check())
	require.NotContains(t, r.s.HugePages(), r.va)
	require.Contains(t, r.events, vm.Event{Kind: vm.EventDemote, ASID: r.s.ASID(), VA: r.va})
	for i := 0; i < r.n; i++ {
		if len(without) == 0 || i != without[0] {
			b := make([]byte, 9)
			_, err := r.s.Read(r.at(i), b)
			require.NoError(t, err)
			require.Equal(t, fmt.Sprintf("page %04d", i), string(b))
		}
	}
	r.requireEmpty(t)
}

// TestHugePages: a range that is filled becomes one page of the page table and the
// TLB, and everything that is done to a part of it makes small ones of it.
func TestHugePages(t *testing.T) {
	for _, c := range hugeCases() {
		t.Run(c.String(), func(t *testing.T) {
			t.Run("walk", func(t *testing.T) {
				r := newHugeRig(t, c)
				e, f := r.s.Table().Probe(r.at(3))
				require.Nil(t, f)
				require.Equal(t, c.size, e.Size())
				walks := r.k.MMU().Stats().Walks
				for i := range r.n {
					require.Equal(t, "page", get1(t, r.s, r.at(i)))
				}
				require.LessOrEqual(t, r.k.MMU().Stats().Walks-walks, uint64(2), "one entry of the TLB serves all")
			})
			t.Run("munmap", func(t *testing.T) {
				r := newHugeRig(t, c)
				require.NoError(t, r.s.Munmap(r.at(5), page))
				r.demoted(t, 5)
			})
			t.Run("mprotect", func(t *testing.T) {
				r := newHugeRig(t, c)
				require.NoError(t, r.s.Mprotect(r.at(5), page, vm.PermR))
				r.demoted(t)
			})
			t.Run("evict", func(t *testing.T) {
				r := newHugeRig(t, c)
				require.NoError(t, r.s.PageOut(r.at(r.n-1)))
				require.NoError(t, r.k.Check())
				require.Empty(t, r.s.HugePages())
				require.Equal(t, "page", get1(t, r.s, r.at(r.n-1)))
				require.Equal(t, []vm.VirtAddr{r.va}, r.s.HugePages(), "back in memory, it is whole again")
				require.NoError(t, r.s.Discard(r.at(0), page))
				r.demoted(t, 0)
			})
			t.Run("out of memory", func(t *testing.T) {
				r := newHugeRig(t, c)
				n := r.k.Frames().Len()
				_, err := fill(t, r.s, anon(t, r.s, n), n)
				require.NoError(t, err, "demotion needs a frame for a table, which was kept")
				r.demoted(t)
			})
			t.Run("fork", func(t *testing.T) {
				r := newHugeRig(t, c)
				child, err := r.s.Fork()
				require.NoError(t, err)
				require.NoError(t, r.k.Check())
				require.Equal(t, []vm.VirtAddr{r.va}, r.s.HugePages(), "it is shared, not written")
				put(t, child, r.at(1), "child")
				require.Equal(t, []vm.VirtAddr{r.va}, r.s.HugePages())
				_, err = r.s.Write(r.at(2), []byte("page"))
				require.NoError(t, err)
				require.Equal(t, "page 0001", get(t, r.s, r.at(1), 9))
				child.Destroy()
				r.demoted(t)
			})
			t.Run("pin", func(t *testing.T) {
				r := newHugeRig(t, c)
				require.NoError(t, r.s.Pin(r.at(0), page))
				require.NoError(t, r.s.PageOut(r.at(1)))
				require.Equal(t, "page", get1(t, r.s, r.at(1)))
				require.Empty(t, r.s.HugePages(), "pinned pages keep their frames")
				require.NoError(t, r.s.Unpin(r.at(0), page))
				require.Equal(t, 1, r.k.Collapse())
				require.Zero(t, r.k.Collapse())
				require.NoError(t, r.k.Check())
				require.NoError(t, r.s.MovePages(r.at(-1), r.at(r.n), page))
				require.NoError(t, r.s.MovePages(r.at(-1), r.at(7), page))
				require.Equal(t, "page 0007", get(t, r.s, r.at(-1), 9))
				r.demoted(t, 7)
			})
		})
	}
}

func get1(t *testing.T, s *vm.Space, va vm.VirtAddr) string {
	t.Helper()
	b := make([]byte, 4)
	_, err := s.Read(va, b)
	require.NoError(t, err)
	return string(b)
}

// TestHugeNotUniform: what is not alike, private or whole does not become huge.
func TestHugeNotUniform(t *testing.T) {
	const size, n = 64 << 10, 16
	start := func(t *testing.T) (*lab, *vm.Space) {
		l := newLab(t, 64, labOptions{table: pagetable.Options{Svnapot: true}, huge: size})
		return l, l.space(t)
	}
	at := vm.VirtAddr(0x100_0000)
	for name, do := range map[string]func(t *testing.T, l *lab, s *vm.Space){
		"two areas": func(t *testing.T, _ *lab, s *vm.Space) {
			_, err := s.Mmap(at, size, vm.PermR|vm.PermW, nil)
			require.NoError(t, err)
			require.NoError(t, s.Mprotect(at+page, page, vm.PermR))
		},
		"shared": func(t *testing.T, _ *lab, s *vm.Space) {
			_, err := s.Mmap(at, size, vm.PermR|vm.PermW, &vm.MapOptions{Shared: true})
			require.NoError(t, err)
		},
		"not aligned": func(t *testing.T, _ *lab, s *vm.Space) {
			_, err := s.Mmap(at+page, size, vm.PermR|vm.PermW, nil)
			require.NoError(t, err)
		},
		"no adjacent frames": func(t *testing.T, l *lab, s *vm.Space) {
			_, err := s.Mmap(at, size, vm.PermR|vm.PermW, nil)
			require.NoError(t, err)
			for l.k.Frames().Largest() >= n { // take every block that is large enough, and give half of each back
				pa, err := l.k.Frames().AllocFrames(n)
				require.NoError(t, err)
				require.NoError(t, l.k.Frames().SplitBlock(pa, n))
				for i := 0; i < n; i++ {
					if i != n/2 {
						l.k.Frames().FreeFrames(pa+vm.PhysAddr(i*page), 1)
					}
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			l, s := start(t)
			do(t, l, s)
			for va := at; va < at+size+page; va += page {
				_, err := s.Read(va, make([]byte, 1))
				if err == nil {
					_, _ = s.Write(va, []byte("x"))
				}
			}
			require.Empty(t, s.HugePages())
			if name == "no adjacent frames" {
				require.Equal(t, int64(1), l.k.Stats().PromoteFails)
				s.Destroy()
				for i := range l.k.Frames().Len() { // what the test took
					if pa := memBase + vm.PhysAddr(i*page); l.k.Frames().Allocated(pa) {
						l.k.Frames().FreeFrames(pa, 1)
					}
				}
			}
			l.requireEmpty(t)
		})
	}
}

// TestHugeOptions: sizes that the page table does not have are refused.
func TestHugeOptions(t *testing.T) {
	for _, size := range []uint64{1, 4096, 5000, 64 << 10, 4 << 20, 1 << 30} {
		mem, err := vm.NewMemory(make([]byte, 64*page), memBase)
		require.NoError(t, err)
		k, err := vm.NewKernel(mem, 0, &vm.KernelOptions{HugePage: size, NewTable: func(src vm.FrameSource) (vm.Mapper, error) {
			return pagetable.New(mem, &pagetable.X86_64, &pagetable.Options{Frames: src})
		}})
		if err != nil {
			continue
		}
		_, err = k.NewSpace()
		require.ErrorIs(t, err, vm.BadPageSize, "%d", size)
		require.Equal(t, k.Frames().Len(), k.Frames().Free())
	}
}

// TestHugePressure: more ranges than memory has room for, under every policy;
// bytes read are always bytes written.
func TestHugePressure(t *testing.T) {
	const n = 16
	for _, spec := range []string{"FIFO", "LRU", "CLOCK", "ARC", "WSCLOCK", "WS", "LIRS"} {
		t.Run(spec, func(t *testing.T) {
			policy, err := replace.New(spec, replace.Config{Frames: 40})
			require.NoError(t, err)
			l := newLab(t, 60, labOptions{table: pagetable.Options{Svnapot: true}, huge: n * page, policy: policy, slots: 200})
			s := l.space(t)
			va := vm.VirtAddr(0x100_0000)
			_, err = s.Mmap(va, 6*n*page, vm.PermR|vm.PermW, nil)
			require.NoError(t, err)
			want := make([]byte, 6*n)
			for round := range 8 {
				for i := range want {
					j := (i + n*round) % len(want)
					want[j] = byte(round*31 + j)
					_, err := s.Write(va+vm.VirtAddr(j*page+j), want[j:j+1])
					require.NoError(t, err)
				}
				require.NoError(t, l.k.Check())
				for i := range want {
					b := make([]byte, 1)
					_, err := s.Read(va+vm.VirtAddr(i*page+i), b)
					require.NoError(t, err)
					require.True(t, bytes.Equal(want[i:i+1], b))
				}
				l.k.Collapse()
				require.NoError(t, l.k.Check())
			}
			require.NotZero(t, l.k.Stats().Promotions)
			require.NotZero(t, l.k.Stats().Demotions)
			l.requireEmpty(t)
		})
	}
}
