package arena

import (
	"os"
	"unsafe"

	"golang.org/x/sys/windows"
)

// haveMmap says that the Mmap backing exists here.
const haveMmap = true

// commitByCall says that fresh pages need a system call before they can be
// touched: Windows charges memory when it is committed, not when it is used.
const commitByCall = true

// systemPager makes the system calls of this operating system.
type systemPager struct{}

// Map calls VirtualAlloc with MEM_RESERVE. Files cannot be mapped.
func (systemPager) Map(r MapRequest) ([]byte, error) {
	if r.File != nil || r.Over != nil {
		return nil, ErrUnsupported
	}
	typ := uint32(windows.MEM_RESERVE)
	if r.Prot != ProtNone {
		typ |= windows.MEM_COMMIT
	}
	addr, err := windows.VirtualAlloc(0, uintptr(r.Size), typ, windowsProt(r.Prot))
	if err != nil {
		return nil, err
	}
	// SAFETY: the system has just reserved r.Size bytes at addr, which is no
	// Go memory; reading the variable as a pointer keeps vet's rule for others.
	return unsafe.Slice(*(**byte)(unsafe.Pointer(&addr)), r.Size), nil
}

// Protect calls VirtualProtect.
func (systemPager) Protect(mem []byte, p Prot) error {
	var old uint32
	return windows.VirtualProtect(address(mem), uintptr(len(mem)), windowsProt(p), &old)
}

// Advise calls VirtualAlloc with MEM_COMMIT and VirtualFree with MEM_DECOMMIT.
func (systemPager) Advise(mem []byte, a Advice) error {
	switch a {
	case AdviseNeed:
		_, err := windows.VirtualAlloc(address(mem), uintptr(len(mem)), windows.MEM_COMMIT, windows.PAGE_READWRITE)
		return err
	case AdviseDontNeed:
		return windows.VirtualFree(address(mem), uintptr(len(mem)), windows.MEM_DECOMMIT)
	case AdviseHugePages:
		return ErrUnsupported // needs a privilege and memory that is never paged
	case AdvisePopulate:
		return ErrUnsupported // a page is supplied when it is touched
	}
	return nil
}

// Move is not to be had here; the region copies.
func (systemPager) Move(dst, src []byte) error { return ErrUnsupported }

// Unmap calls VirtualFree with MEM_RELEASE.
func (systemPager) Unmap(mem []byte) error {
	return windows.VirtualFree(address(mem), 0, windows.MEM_RELEASE)
}

// Allocate is not to be had here: the File backing does not exist.
func (systemPager) Allocate(f *os.File, off, size int64) error { return ErrUnsupported }

// Punch is not to be had here: the File backing does not exist.
func (systemPager) Punch(f *os.File, off, size int64) error { return ErrUnsupported }

// Sync is not to be had here: the File backing does not exist.
func (systemPager) Sync(mem []byte) error { return ErrUnsupported }

// Resident calls QueryWorkingSetEx.
func (systemPager) Resident(mem []byte) (int, error) {
	type query struct { // PSAPI_WORKING_SET_EX_INFORMATION
		addr  uintptr
		attrs windows.PSAPI_WORKING_SET_EX_BLOCK
	}
	pageSize := os.Getpagesize()
	queries := make([]query, min(residentStep, (len(mem)+pageSize-1)/pageSize))
	resident := 0
	for len(mem) > 0 {
		part := mem[:min(len(mem), len(queries)*pageSize)]
		pages := (len(part) + pageSize - 1) / pageSize
		for i := range pages {
			queries[i] = query{addr: address(part) + uintptr(i*pageSize)}
		}
		// SAFETY: the system fills the first pages elements of queries in place.
		err := windows.QueryWorkingSetEx(windows.CurrentProcess(), uintptr(unsafe.Pointer(&queries[0])),
			uint32(uintptr(pages)*unsafe.Sizeof(queries[0])))
		if err != nil {
			return 0, err
		}
		for i := range pages {
			if queries[i].attrs.Valid() {
				resident += min(pageSize, len(part)-i*pageSize)
			}
		}
		mem = mem[len(part):]
	}
	return resident, nil
}

// residentStep is the number of pages asked about in one system call.
const residentStep = 1 << 12

func windowsProt(p Prot) uint32 {
	switch p {
	case ProtRead:
		return windows.PAGE_READONLY
	case ProtReadWrite:
		return windows.PAGE_READWRITE
	}
	return windows.PAGE_NOACCESS
}
