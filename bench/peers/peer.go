package peers

import (
	"os"
	"path/filepath"

	"github.com/memlab-go/memlab/bench/replay"
)

// A Peer is an allocator to be compared: behind Go's interface if Go is set,
// else behind C's, with a library preloaded.
type Peer struct {
	Name    string
	Go      *replay.Entry
	Preload string // a shared library; "" is the C library itself

	// Shared makes an allocator that goroutines may share, nil if there is none.
	Shared func() (*crowd, error)
}

// Known returns the Go peers and those C allocators that are installed.
func Known() []Peer {
	out := goPeers()
	out = append(out, Peer{Name: "glibc"})
	for _, lib := range [...]struct{ name, file string }{
		{"jemalloc", "libjemalloc.so.2"}, {"tcmalloc", "libtcmalloc_minimal.so.4"}, {"mimalloc", "libmimalloc.so.2"}, {"mimalloc", "libmimalloc.so.3"},
	} {
		if path := findLibrary(lib.file); path != "" {
			out = append(out, Peer{Name: lib.name, Preload: path})
		}
	}
	return out
}

// findLibrary returns the path of a shared library in the usual places, or "".
func findLibrary(file string) string {
	for _, pattern := range [...]string{"/lib/*", "/usr/lib/*", "/usr/lib", "/usr/lib64", "/usr/local/lib"} {
		dirs, _ := filepath.Glob(pattern)
		for _, dir := range dirs {
			if path := filepath.Join(dir, file); isFile(path) {
				return path
			}
		}
	}
	return ""
}

func isFile(path string) bool {
	fi, err := os.Stat(path)
	return err == nil && fi.Mode().IsRegular()
}
