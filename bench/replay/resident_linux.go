package replay

import (
	"bytes"
	"errors"
	"os"
)

// A residentReader reads how many bytes of this process are in RAM. Reading
// allocates nothing, so that it does not change what it reads.
type residentReader struct {
	f   *os.File
	buf [2048]byte
}

// newResidentReader opens the kernel's exact figure. (The cheaper ones in
// /proc/self/statm are kept per CPU and lag behind.)
func newResidentReader() (*residentReader, error) {
	f, err := os.Open("/proc/self/smaps_rollup")
	if err != nil {
		return nil, err
	}
	return &residentReader{f: f}, nil
}

var rssLabel = []byte("\nRss:")

// read returns the resident bytes.
func (r *residentReader) read() (int64, error) {
	n, err := r.f.ReadAt(r.buf[:], 0)
	i := bytes.Index(r.buf[:n], rssLabel)
	if i < 0 {
		return 0, errors.Join(errors.New("replay: no Rss line in smaps_rollup"), err)
	}
	kib, digits := int64(0), false
	for _, c := range r.buf[i+len(rssLabel) : n] {
		if c >= '0' && c <= '9' {
			kib, digits = kib*10+int64(c-'0'), true
		} else if digits {
			break
		}
	}
	return kib << 10, nil
}

func (r *residentReader) close() { r.f.Close() }
