package alloc

// Try calls f and returns the [*Fault] that f panicked with, or nil. Other
// panics go on. It is meant for tests and labs, where misuse is the subject.
func Try(f func()) (err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case *Fault:
			err = r
		default:
			panic(r)
		}
	}()
	f()
	return nil
}
