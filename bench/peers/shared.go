package peers

import (
	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/alloc/segregated"
)

// A crowd is an allocator for many goroutines as each of them sees it.
type crowd struct {
	each  func() alloc.Allocator // called by a goroutine that begins
	leave func(alloc.Allocator)  // called by one that ends, may be nil
}

// all is the crowd of goroutines that share a.
func all(a alloc.Allocator) *crowd { return &crowd{each: func() alloc.Allocator { return a }} }

func (c *crowd) left(a alloc.Allocator) {
	if c.leave != nil {
		c.leave(a)
	}
}

// sharedSegregated makes memlab's heap for many goroutines.
func sharedSegregated() (*crowd, error) {
	s, err := segregated.NewShared(nil, nil)
	if err != nil {
		return nil, err
	}
	return all(s), nil
}

// handles gives each goroutine a handle of that heap.
func handles() (*crowd, error) {
	s, err := segregated.NewShared(nil, nil)
	if err != nil {
		return nil, err
	}
	return &crowd{
		each:  func() alloc.Allocator { return s.Handle() },
		leave: func(a alloc.Allocator) { a.(*segregated.Handle).Close() },
	}, nil
}
