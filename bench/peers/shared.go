package peers

import (
	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/alloc/segregated"
)

// sharedSegregated makes memlab's heap for many goroutines.
func sharedSegregated() (alloc.Allocator, error) {
	h, err := segregated.New(nil, nil)
	if err != nil {
		return nil, err
	}
	return alloc.Locked(h), nil
}
