package replace

import (
	"iter"

	"github.com/memlab-go/memlab/vm"
)

// The queues of S3FIFO.
const (
	s3Small = iota // new pages
	s3Main         // pages used more than once, or asked for again
	s3Ghost        // not resident: left the small queue
)

// S3FIFO has three FIFO queues: new pages pass through a small one, so that pages
// used once leave soon (Yang, Zhang, Qiu, Yue and Rashmi, FIFO queues are all you
// need for cache eviction, SOSP 2023, algorithm 1). With the frames c the small
// queue aims at max(1, c/10), main and ghost queue hold c less that:
//
//   - hit: the page's counter grows by one, to at most 3;
//   - load: counter 0; a page in the ghost queue goes to the new end of main,
//     any other to that of small;
//   - fault: if small holds at least its aim (or main is empty), its oldest page
//     is taken: if its counter is above 1 it moves to main with counter 0, and the
//     search goes on, in main if that is now above its size; else it is evicted
//     into ghost, whose oldest entry is forgotten when it overflows;
//   - in main the oldest page, if its counter is above 0, goes round to the new end
//     with the counter less 1, else it is evicted.
//
// O(1) amortized.
type S3FIFO struct {
	list    rings // oldest in front
	where   []uint8
	count   []uint8
	maxIn   int // aim of the small queue
	maxMain int
}

// NewS3FIFO returns an empty S3FIFO for the given number of frames.
func NewS3FIFO(frames int) *S3FIFO {
	in := max(1, frames/10)
	return &S3FIFO{list: newRings(3), maxIn: in, maxMain: max(1, frames-in)}
}

// Hit implements [vm.Policy].
func (s *S3FIFO) Hit(p vm.PageID, _ bool) {
	if s.count[p] < 3 {
		s.count[p]++
	}
}

// Insert implements [vm.Policy].
func (s *S3FIFO) Insert(p vm.PageID, _ bool) {
	s.list.grow(p)
	growTo(&s.where, int(p)+1)
	growTo(&s.count, int(p)+1)
	to := s3Small
	if s.where[p] == 1+s3Ghost {
		s.leave(p)
		to = s3Main
	}
	s.count[p] = 0
	s.enter(to, p)
}

// Victim implements [vm.Policy].
func (s *S3FIFO) Victim(next vm.PageID) (vm.PageID, bool) {
	n := s.list.size
	if n[s3Small]+n[s3Main] == 0 {
		return 0, false
	}
	if n[s3Small] >= s.maxIn || n[s3Main] == 0 {
		if p, ok := s.evictSmall(next); ok {
			return p, true
		}
	}
	return s.evictMain(), true
}

// evictSmall evicts from the small queue unless it runs empty, or main runs
// over, by moving pages.
func (s *S3FIFO) evictSmall(next vm.PageID) (vm.PageID, bool) {
	for s.list.size[s3Small] > 0 {
		p := s.list.front(s3Small)
		s.leave(p)
		if s.count[p] <= 1 {
			s.enter(s3Ghost, p)
			if s.list.size[s3Ghost] > s.maxMain {
				s.dropGhost(next)
			}
			return p, true
		}
		s.count[p] = 0
		s.enter(s3Main, p)
		if s.list.size[s3Main] > s.maxMain {
			break
		}
	}
	return 0, false
}

// evictMain evicts from the main queue, which is not empty.
func (s *S3FIFO) evictMain() vm.PageID {
	for {
		p := s.list.front(s3Main)
		if s.count[p] == 0 {
			s.leave(p)
			return p
		}
		s.count[p]--
		s.list.toBack(s3Main, p)
	}
}

// dropGhost forgets the oldest ghost, but not the page that is about to come in.
func (s *S3FIFO) dropGhost(next vm.PageID) {
	p := s.list.front(s3Ghost)
	if p == next {
		s.list.toBack(s3Ghost, p)
		p = s.list.front(s3Ghost)
	}
	s.leave(p)
}

// Remove implements [vm.Policy].
func (s *S3FIFO) Remove(p vm.PageID) { s.leave(p) }

// Pages implements [vm.Lister]: small, then main, each oldest first.
func (s *S3FIFO) Pages() iter.Seq[vm.PageID] { return s.list.allOf(s3Small, s3Main) }

func (s *S3FIFO) enter(list int, p vm.PageID) {
	s.list.pushBack(list, p)
	s.where[p] = uint8(1 + list)
}

func (s *S3FIFO) leave(p vm.PageID) {
	s.list.remove(int(s.where[p])-1, p)
	s.where[p] = 0
}
