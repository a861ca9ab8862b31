package arena

// A Region is one range of address space that never moves. Its bytes may be
// touched where they are committed.
type Region struct {
	mem []byte
}

// Reserve reserves size bytes of address space.
func Reserve(size int, o *Options) (*Region, error) {
	return &Region{mem: make([]byte, size)}, nil
}

// FromBytes makes a region of memory of the caller's own.
func FromBytes(b []byte) *Region { return &Region{mem: b} }

// Bytes returns the whole region; only committed parts may be touched.
func (r *Region) Bytes() []byte { return r.mem }

// Size returns the reserved size in bytes.
func (r *Region) Size() int { return len(r.mem) }

// Commit makes [off, off+size) usable. Fresh bytes are zero.
func (r *Region) Commit(off Offset, size int) error { return nil }

// Decommit gives [off, off+size) back to the system; committed again, the
// bytes are zero.
func (r *Region) Decommit(off Offset, size int) error {
	clear(r.mem[off:][:size])
	return nil
}

// Resident returns how many bytes the system says are in RAM.
func (r *Region) Resident() (int, error) { return len(r.mem), nil }

// Close releases the region. Every view of it is dead afterwards.
func (r *Region) Close() error { r.mem = nil; return nil }
