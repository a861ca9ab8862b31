//go:build darwin || freebsd

package arena

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Advise maps fresh zero pages over mem for AdviseDontNeed: madvise does not
// promise on these systems that the next touch finds zeros.
func (systemPager) Advise(mem []byte, a Advice) error {
	switch a {
	case AdviseNeed:
		return unix.Mprotect(mem, unix.PROT_READ|unix.PROT_WRITE)
	case AdviseDontNeed:
		// SAFETY: a range of a mapping of ours, replaced in place; the address is only passed to the kernel.
		_, err := unix.MmapPtr(-1, 0, unsafe.Pointer(unsafe.SliceData(mem)), uintptr(len(mem)),
			unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_FIXED|mapNoReserve)
		return err
	case AdviseHugePages:
		return ErrUnsupported // the system decides by itself
	case AdvisePopulate:
		return ErrUnsupported // a page is supplied when it is touched
	}
	return nil
}

// Move is not to be had here; the region copies.
func (systemPager) Move(dst, src []byte) error { return ErrUnsupported }

// Allocate writes zeros into the holes: no call of these systems reserves
// blocks inside a file.
func (systemPager) Allocate(f *os.File, off, size int64) error {
	return allocateByWriting(f, off, size)
}

// Punch is not to be had here; the region writes zeros.
func (systemPager) Punch(f *os.File, off, size int64) error { return ErrUnsupported }
