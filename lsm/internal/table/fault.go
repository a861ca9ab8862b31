package table

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/memlab-go/memlab/alloc"
)

// errFault says that mapped memory could not be read: the file lost the page.
var errFault = errors.New("page of the mapped file cannot be read")

// guard runs f, which touches mapped memory, and turns a memory fault in it
// into an error. Other panics go on. It works for this goroutine only.
func guard(f func()) (err error) {
	old := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(old)
		switch p := recover().(type) {
		case nil:
		case interface {
			runtime.Error
			Addr() uintptr
		}:
			err = fmt.Errorf("%w (address %#x)", errFault, p.Addr())
		default:
			panic(p)
		}
	}()
	f()
	return nil
}

func isNoMemory(err error) bool { return errors.Is(err, alloc.ErrNoMemory) }
