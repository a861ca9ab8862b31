package vm

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestFramesCheckFinds breaks each law and expects Check to name it.
func TestFramesCheckFinds(t *testing.T) {
	for _, c := range []struct {
		law   string
		spoil func(f *Frames)
	}{
		{"F1", func(f *Frames) { f.frame[0].order = 1 }},
		{"F1", func(f *Frames) { f.frame[0].order = 9 }},
		{"F1", func(f *Frames) { f.frame[5].order = 0 }},
		{"F2", func(f *Frames) { f.frame[0].used = false }},
		{"F3", func(f *Frames) { f.head[0] = none }},
		{"F3", func(f *Frames) { f.frame[1].next = 1 }},
		{"F3", func(f *Frames) { f.head[2] = 99 }},
		{"F4", func(f *Frames) { f.free++ }},
		{"F5", func(f *Frames) { f.frame[0].refs = 2 }},
		{"F5", func(f *Frames) { f.frame[1].maps = []Mapping{{ASID: 1}} }},
	} {
		mem, err := NewMemory(make([]byte, 8*4096), 0)
		require.NoError(t, err)
		f, err := NewFrames(mem, 0)
		require.NoError(t, err)
		_, err = f.AllocFrames(1)
		require.NoError(t, err)
		require.NoError(t, f.AddMapping(0, Mapping{ASID: 1, VA: 0x1000}))
		require.NoError(t, f.Check())
		c.spoil(f)
		require.ErrorContains(t, f.Check(), c.law)
	}
}
