package segregated

import (
	"bytes"
	"io"

	"github.com/memlab-go/memlab/alloc"
)

// What the modes beyond Fast and the tracing of stacks add to a Shared, whose
// calls then take one lock and go to the Heap inside.

// Try is [Heap.Try]. It holds no lock while f runs.
func (s *Shared) Try(f func()) error {
	return try(f, func(r any) *alloc.Fault {
		s.lock()
		defer s.unlock()
		return s.h.accessFault(r)
	})
}

// ModeReport is [Heap.ModeReport].
func (s *Shared) ModeReport() ModeReport {
	s.lock()
	defer s.unlock()
	return s.h.ModeReport()
}

// WriteProfile is [Heap.WriteProfile]. The heap goes on while w is written to.
func (s *Shared) WriteProfile(w io.Writer) error {
	var buf bytes.Buffer
	if err := s.profile(&buf); err != nil {
		return err
	}
	_, err := w.Write(buf.Bytes())
	return err
}

func (s *Shared) profile(w io.Writer) error {
	s.lock()
	defer s.unlock()
	return s.h.WriteProfile(w)
}
