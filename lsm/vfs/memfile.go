package vfs

import (
	"io"
	"io/fs"
	"syscall"
)

// A memFile is an open file of a Mem.
type memFile struct {
	fs     *Mem
	node   *memNode
	name   string
	write  bool
	closed bool
}

func (f *memFile) fail(op string, err error) error {
	return &fs.PathError{Op: op, Path: f.name, Err: err}
}

func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	switch {
	case f.closed:
		return 0, f.fail("read", fs.ErrClosed)
	case f.write:
		return 0, f.fail("read", syscall.EBADF)
	case off < 0:
		return 0, f.fail("read", fs.ErrInvalid)
	case off >= int64(len(f.node.data)):
		return 0, io.EOF
	}
	n := copy(p, f.node.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memFile) Write(p []byte) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.writable("write"); err != nil {
		return 0, err
	}
	n := f.node
	for s := len(n.data) / memSector; s*memSector < len(n.data)+len(p); s++ {
		n.dirty[s], n.unsent[s] = struct{}{}, struct{}{}
	}
	n.data = append(n.data, p...)
	return len(p), nil
}

// writable says why the file cannot be written.
func (f *memFile) writable(op string) error {
	switch {
	case f.closed:
		return f.fail(op, fs.ErrClosed)
	case !f.write:
		return f.fail(op, syscall.EBADF)
	}
	return nil
}

func (f *memFile) Sync() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if f.closed {
		return f.fail("sync", fs.ErrClosed)
	}
	f.node.sync()
	return nil
}

// sync makes the sectors durable that were not yet sent, and the size.
func (n *memNode) sync() {
	n.durable = resize(n.durable, len(n.data), n.cut)
	for s := range n.unsent {
		lo, hi := s*memSector, min((s+1)*memSector, len(n.data))
		if lo < hi {
			copy(n.durable[lo:hi], n.data[lo:hi])
		}
		delete(n.dirty, s)
	}
	clear(n.unsent)
	n.cut = -1
}

// resize cuts b to cut, if that is not negative, and makes it size long.
func resize(b []byte, size, cut int) []byte {
	if cut >= 0 && cut < len(b) {
		b = b[:cut]
	}
	if size <= len(b) {
		return b[:size]
	}
	return append(b, make([]byte, size-len(b))...)
}

// failSync is what a failed fsync leaves: the bytes can still be read, may or
// may not be on disk, and no later Sync writes them.
func (f *memFile) failSync() {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	clear(f.node.unsent)
}

func (f *memFile) Truncate(size int64) error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.writable("truncate"); err != nil {
		return err
	}
	if size < 0 || size > int64(len(f.node.data)) {
		return f.fail("truncate", fs.ErrInvalid)
	}
	f.node.truncate(int(size))
	return nil
}

func (n *memNode) truncate(size int) {
	if size >= len(n.data) && size >= len(n.durable) {
		return
	}
	n.data = n.data[:size:size] // bytes that a mapping shows stay what they were
	if n.cut < 0 || size < n.cut {
		n.cut = size
	}
	if size%memSector != 0 {
		n.dirty[size/memSector], n.unsent[size/memSector] = struct{}{}, struct{}{}
	}
}

func (f *memFile) Size() (int64, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if f.closed {
		return 0, f.fail("stat", fs.ErrClosed)
	}
	return int64(len(f.node.data)), nil
}

func (f *memFile) Close() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if f.closed {
		return f.fail("close", fs.ErrClosed)
	}
	f.closed = true
	return nil
}

// Map returns the bytes themselves.
func (f *memFile) Map(size int) ([]byte, func() error, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if size <= 0 || size > len(f.node.data) {
		return nil, nil, f.fail("mmap", fs.ErrInvalid)
	}
	return f.node.data[:size:size], func() error { return nil }, nil
}
