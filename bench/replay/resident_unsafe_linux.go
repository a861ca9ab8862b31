package replay

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A residentReader reads how many bytes of this process's memory are resident.
// Reading allocates nothing, so that it does not change what it reads.
type residentReader struct {
	f   *os.File
	fd  uintptr
	buf [2048]byte
}

// newResidentReader opens the kernel's exact figure. (The cheaper ones in
// /proc/self/statm are kept per CPU and lag behind.) Where /proc has no such
// file, in a sandbox for one, the error wraps [errors.ErrUnsupported].
func newResidentReader() (*residentReader, error) {
	f, err := os.Open("/proc/self/smaps_rollup")
	if err != nil {
		return nil, fmt.Errorf("replay: %w: %w", errors.ErrUnsupported, err)
	}
	return &residentReader{f: f, fd: f.Fd()}, nil
}

// read returns the resident bytes that are memory: pages of the program's own
// file, its code above all, are left out, since they come as they are first
// used, sixteen at a time, and have nothing to do with the heap. The runtime is
// not told of the system call: it would start another thread if the call takes
// long, and the thread's stacks would pass for the heap's memory.
func (r *residentReader) read() (int64, error) {
	// SAFETY: the kernel writes at most len(buf) bytes to buf, which is part of r
	// and stays where it is during the call.
	n, _, errno := unix.RawSyscall6(unix.SYS_PREAD64, r.fd, uintptr(unsafe.Pointer(&r.buf[0])), uintptr(len(r.buf)), 0, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	anon, ok := kibField(r.buf[:n], "\nAnonymous:")
	if !ok {
		return 0, errors.New("replay: no line Anonymous in smaps_rollup")
	}
	shmem, _ := kibField(r.buf[:n], "\nPss_Shmem:") // a memory file of the heap's, however often it is mapped
	return anon + shmem, nil
}

// kibField returns the bytes that the line with this label states in kibibytes.
func kibField(b []byte, label string) (int64, bool) {
	i := bytes.Index(b, []byte(label))
	if i < 0 {
		return 0, false
	}
	kib, digits := int64(0), false
	for _, c := range b[i+len(label):] {
		if c >= '0' && c <= '9' {
			kib, digits = kib*10+int64(c-'0'), true
		} else if digits {
			break
		}
	}
	return kib << 10, digits
}

func (r *residentReader) close() { r.f.Close() }
