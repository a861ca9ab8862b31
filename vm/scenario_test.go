package vm_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/memlab-go/memlab/vm"
	"github.com/memlab-go/memlab/vm/pagetable"
	"github.com/memlab-go/memlab/vm/replace"
	"github.com/stretchr/testify/require"
)

// TestScenario runs two processes through fork, copy-on-write, a mapped file, stack
// growth, memory pressure with swap on a real file, and exit. put and get check
// every law after each step; nothing is left at the end.
func TestScenario(t *testing.T) {
	for _, f := range []*pagetable.Format{&pagetable.Sv39, &pagetable.X86_64, &pagetable.ARM64_4K} {
		for _, spec := range []string{"CLOCK", "ARC", "WS=40"} {
			t.Run(f.Name+"/"+spec, func(t *testing.T) { scenario(t, f, spec) })
		}
	}
}

func scenario(t *testing.T, format *pagetable.Format, spec string) {
	policy, err := replace.New(spec, replace.Config{Frames: 40})
	if err != nil {
		policy = replace.NewWorkingSet(40)
	}
	open := func(name string) *os.File {
		f, err := os.Create(filepath.Join(t.TempDir(), name))
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, f.Close()) })
		return f
	}
	l := newLab(t, 48, labOptions{format: format, policy: policy, slots: 300, disk: open("swap")})
	data := open("data")
	content := bytes.Repeat([]byte("0123456789abcdef"), 700) // 2.7 pages
	_, err = data.WriteAt(content, 0)
	require.NoError(t, err)
	file, err := l.k.OpenFile(data, uint64(len(content)))
	require.NoError(t, err)

	parent := l.space(t) // heap, stack and a file, shared and private
	heap, err := parent.Brk(0)
	require.NoError(t, err)
	_, err = parent.Brk(heap + 10*page)
	require.NoError(t, err)
	put(t, parent, heap+page-4, "heap over two pages")
	put(t, parent, parent.Stack()-16, "bottom of stack")
	shared, err := parent.Mmap(0, uint64(len(content)), vm.PermR|vm.PermW, &vm.MapOptions{File: file, Shared: true})
	require.NoError(t, err)
	private, err := parent.Mmap(0, 2*page, vm.PermR|vm.PermW, &vm.MapOptions{File: file, Offset: page})
	require.NoError(t, err)
	require.Equal(t, string(content[page:page+32]), get(t, parent, private, 32))
	put(t, parent, private, "mine alone")
	require.Equal(t, string(content[page:page+32]), get(t, parent, shared+page, 32), "the file is as it was")

	child, err := parent.Fork()
	require.NoError(t, err)
	require.NoError(t, l.k.Check())
	put(t, child, heap+page, "child")
	put(t, parent, shared+5, "SHARED")
	require.Equal(t, "SHARED", get(t, child, shared+5, 6))
	require.Equal(t, "over two pages", get(t, parent, heap+page+1, 14))
	require.Equal(t, "mine alone", get(t, child, private, 10))

	sp := child.Stack() // the child recurses, down to the guard page
	for i := 1; i <= 16; i++ {
		put(t, child, sp-vm.VirtAddr(i*page), fmt.Sprintf("frame %02d", i))
	}
	_, err = child.Write(sp-17*page, []byte("overflow"))
	require.ErrorIs(t, err, vm.Protection)
	require.ErrorContains(t, err, "guard page")

	const n = 40 // more than there is memory for, in both
	pa, ca := anon(t, parent, n), anon(t, child, n)
	for round := range 2 {
		for i := range n {
			put(t, parent, pa+vm.VirtAddr(i*page), fmt.Sprintf("parent %d %d", round, i))
			put(t, child, ca+vm.VirtAddr(i*page+100), fmt.Sprintf("child %d %d", round, i))
		}
	}
	for i := range n {
		text := fmt.Sprintf("parent 1 %d", i)
		require.Equal(t, text, get(t, parent, pa+vm.VirtAddr(i*page), len(text)))
		text = fmt.Sprintf("child 1 %d", i)
		require.Equal(t, text, get(t, child, ca+vm.VirtAddr(i*page+100), len(text)))
	}
	for i := 1; i <= 16; i++ {
		require.Equal(t, fmt.Sprintf("frame %02d", i), get(t, child, sp-vm.VirtAddr(i*page), 8))
	}
	stats := l.k.Stats()
	require.NotZero(t, stats.SwapIns)
	require.NotZero(t, stats.SwapOuts)
	require.NotZero(t, stats.Major)

	parent.Destroy()
	require.NoError(t, l.k.Check())
	require.Equal(t, "mine alone", get(t, child, private, 10), "the child lives on")
	require.Equal(t, "child", get(t, child, heap+page, 5))
	require.ErrorIs(t, file.Close(), vm.Misuse, "still mapped")
	child.Destroy()
	require.NoError(t, file.Close())
	copy(content[5:], "SHARED")
	got, err := os.ReadFile(data.Name())
	require.NoError(t, err)
	require.True(t, bytes.Equal(content, got), "the file has what was written through the mapping, and no byte more")
	l.requireEmpty(t)
}
