//go:build !linux && !darwin && !freebsd && !windows

package arena

import "os"

// haveMmap says that the Mmap backing does not exist here: GoHeap stands in.
const haveMmap = false

// commitByCall has no meaning without mappings.
const commitByCall = false

// systemPager has no system calls to make: every method is ErrUnsupported.
type systemPager struct{}

func (systemPager) Map(r MapRequest) ([]byte, error)           { return nil, ErrUnsupported }
func (systemPager) Protect(mem []byte, p Prot) error           { return ErrUnsupported }
func (systemPager) Advise(mem []byte, a Advice) error          { return ErrUnsupported }
func (systemPager) Move(dst, src []byte) error                 { return ErrUnsupported }
func (systemPager) Unmap(mem []byte) error                     { return ErrUnsupported }
func (systemPager) Allocate(f *os.File, off, size int64) error { return ErrUnsupported }
func (systemPager) Punch(f *os.File, off, size int64) error    { return ErrUnsupported }
func (systemPager) Sync(mem []byte) error                      { return ErrUnsupported }
func (systemPager) Resident(mem []byte) (int, error)           { return 0, ErrUnsupported }
