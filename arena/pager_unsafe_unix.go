//go:build linux || darwin || freebsd

package arena

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// haveMmap says that the Mmap backing exists here.
const haveMmap = true

// commitByCall says that fresh pages need a system call before they can be
// touched. On unix they can be mapped readable and writable at once, and the
// kernel supplies them at the first touch.
const commitByCall = false

// systemPager makes the system calls of this operating system.
type systemPager struct{}

// Map calls mmap. Anonymous mappings ask for no swap to be set aside, so that
// a large one costs only its address range.
func (systemPager) Map(r MapRequest) ([]byte, error) {
	if r.Size <= 0 {
		return nil, unix.EINVAL
	}
	fd, flags := -1, unix.MAP_PRIVATE|unix.MAP_ANON|mapNoReserve
	if r.File != nil {
		fd, flags = int(r.File.Fd()), unix.MAP_SHARED
	}
	var at unsafe.Pointer
	if r.Over != nil {
		if len(r.Over) != r.Size {
			return nil, unix.EINVAL
		}
		// SAFETY: the address of a range the caller has mapped; it is only passed to the kernel.
		at = unsafe.Pointer(unsafe.SliceData(r.Over))
		flags |= unix.MAP_FIXED
	}
	// MmapPtr keeps no list of mappings, unlike Mmap, which would refuse the
	// partial unmapping and the remapping that regions do.
	p, err := unix.MmapPtr(fd, 0, at, uintptr(r.Size), unixProt(r.Prot), flags)
	if err != nil {
		return nil, err
	}
	// SAFETY: the kernel has just mapped r.Size bytes at p.
	return unsafe.Slice((*byte)(p), r.Size), nil
}

// Protect calls mprotect.
func (systemPager) Protect(mem []byte, p Prot) error { return unix.Mprotect(mem, unixProt(p)) }

// Unmap calls munmap.
func (systemPager) Unmap(mem []byte) error {
	// SAFETY: the address of the mapping; it is only passed to the kernel.
	return unix.MunmapPtr(unsafe.Pointer(unsafe.SliceData(mem)), uintptr(len(mem)))
}

// Sync calls msync and waits for the device.
func (systemPager) Sync(mem []byte) error { return unix.Msync(mem, unix.MS_SYNC) }

// Resident calls mincore over mem, up to residentStep pages at a time.
func (systemPager) Resident(mem []byte) (int, error) {
	pageSize := os.Getpagesize()
	var vec [residentStep]byte // on the stack: measuring memory must not use any
	resident := 0
	for len(mem) > 0 {
		part := mem[:min(len(mem), len(vec)*pageSize)]
		// SAFETY: the kernel reads the address of part and writes one byte a page into vec, which has room.
		_, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(unsafe.SliceData(part))),
			uintptr(len(part)), uintptr(unsafe.Pointer(&vec)))
		if errno != 0 {
			return 0, errno
		}
		for i := range (len(part) + pageSize - 1) / pageSize {
			if vec[i]&1 != 0 {
				resident += min(pageSize, len(part)-i*pageSize)
			}
		}
		mem = mem[len(part):]
	}
	return resident, nil
}

// residentStep is the number of pages asked about in one system call.
const residentStep = 1 << 12

func unixProt(p Prot) int {
	switch p {
	case ProtRead:
		return unix.PROT_READ
	case ProtReadWrite:
		return unix.PROT_READ | unix.PROT_WRITE
	}
	return unix.PROT_NONE
}
