package arena

import (
	"errors"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

const mapNoReserve = unix.MAP_NORESERVE

// Advise calls madvise, or mprotect for AdviseNeed. MADV_DONTNEED frees the
// pages at once; MADV_FREE would hide the saving until memory is short.
func (systemPager) Advise(mem []byte, a Advice) error {
	switch a {
	case AdviseNeed:
		return unix.Mprotect(mem, unix.PROT_READ|unix.PROT_WRITE)
	case AdviseDontNeed:
		return unix.Madvise(mem, unix.MADV_DONTNEED)
	case AdviseHugePages:
		return unix.Madvise(mem, unix.MADV_HUGEPAGE)
	case AdvisePopulate:
		return retryEINTR(func() error { return unix.Madvise(mem, unix.MADV_POPULATE_WRITE) }) // since Linux 5.14
	}
	err := unix.Madvise(mem, unix.MADV_NOHUGEPAGE)
	if errors.Is(err, unix.EINVAL) {
		return nil // a kernel without huge pages: refused already
	}
	return err
}

// Move calls mremap. MREMAP_DONTUNMAP keeps the source mapped and empty, so
// that no moment exists in which somebody else could be given its addresses.
func (systemPager) Move(dst, src []byte) error {
	if len(dst) != len(src) {
		return unix.EINVAL
	}
	// SAFETY: both are ranges of one mapping of ours; the addresses are only passed to the kernel.
	_, err := unix.MremapPtr(unsafe.Pointer(unsafe.SliceData(src)), uintptr(len(src)),
		unsafe.Pointer(unsafe.SliceData(dst)), uintptr(len(dst)),
		unix.MREMAP_MAYMOVE|unix.MREMAP_FIXED|unix.MREMAP_DONTUNMAP)
	return err
}

// Allocate calls fallocate; where the file system has none it writes zeros
// into the holes.
func (systemPager) Allocate(f *os.File, off, size int64) error {
	err := retryEINTR(func() error { return unix.Fallocate(int(f.Fd()), 0, off, size) })
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return allocateByWriting(f, off, size)
	}
	return err
}

// Punch calls fallocate with FALLOC_FL_PUNCH_HOLE.
func (systemPager) Punch(f *os.File, off, size int64) error {
	err := retryEINTR(func() error {
		return unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, size)
	})
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return ErrUnsupported
	}
	return err
}

// retryEINTR repeats f while a signal interrupts it.
func retryEINTR(f func() error) error {
	for {
		if err := f(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
