package peers

import (
	"fmt"
	"unsafe"

	"github.com/memlab-go/memlab/alloc"
)

func where(b []byte) uintptr {
	// SAFETY: the address is compared, never turned back.
	return uintptr(unsafe.Pointer(unsafe.SliceData(b)))
}

// misuse frees what must not be freed, as creplay/replay.c does. It reports
// "caught" if the allocator panics with a *alloc.Fault; if nothing is said, it
// asks for blocks of the same size until live memory is handed out.
func misuse(a alloc.Allocator, kind string) (string, error) {
	var blocks [3][]byte
	for i := range blocks {
		b, err := a.Malloc(64)
		if err != nil {
			return "", err
		}
		blocks[i] = b
	}
	err := alloc.Try(func() {
		switch kind {
		case "double":
			a.Free(blocks[0])
			a.Free(blocks[2])
			a.Free(blocks[0])
		case "interior":
			a.Free(blocks[1][16:])
		default:
			page := make([]byte, 1<<16)
			a.Free(page[4096 : 4096+64])
		}
	})
	if err != nil {
		return fmt.Sprintf("caught: %v", err), nil
	}
	seen := map[uintptr]bool{}
	for range 200 {
		b, err := a.Malloc(64)
		if err != nil {
			return "", err
		}
		at, live := where(b), where(blocks[1])
		switch {
		case seen[at]:
			return "twice", nil
		case kind == "interior" && at+64 > live && at < live+64:
			return "overlap", nil
		}
		seen[at] = true
	}
	return "silent", nil
}
