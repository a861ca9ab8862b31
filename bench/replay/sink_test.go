package replay

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
)

// Whoever replays with a sink sees what the trace asked for, on every heap that
// has one: this is how other measurements get at the heaps' own accesses.
func TestSinkSeesTheTrace(t *testing.T) {
	tr := program(t, "a 0 100;a 1 5000;r 1 9000;f 0")
	for _, e := range Known() {
		if e.Collected {
			continue
		}
		t.Run(e.Name, func(t *testing.T) {
			var kinds []alloc.EventKind
			p, err := Compile(tr)
			require.NoError(t, err)
			h, err := e.New(Config{Sink: func(ev alloc.Event) {
				switch ev.Kind {
				case alloc.EventMalloc, alloc.EventRealloc, alloc.EventFree:
					kinds = append(kinds, ev.Kind)
				}
			}})
			require.NoError(t, err)
			defer h.Close()
			require.NoError(t, p.run(h, make(table, p.Slots), new(Config), nil))
			require.Equal(t, []alloc.EventKind{alloc.EventMalloc, alloc.EventMalloc, alloc.EventRealloc, alloc.EventFree}, kinds)
		})
	}
}
