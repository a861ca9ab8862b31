//go:build !linux

package peers

import "runtime"

// await returns when ready reports true.
func await(ready func() bool) {
	for !ready() {
		runtime.Gosched()
	}
}
