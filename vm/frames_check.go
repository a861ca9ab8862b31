package vm

import (
	"errors"
	"fmt"
)

// Check reports every broken law of the frame allocator. It changes nothing.
//
//	F1  blocks tile the memory: no gap, no overlap, each aligned to its size
//	F2  no two buddies are both free (joining is immediate)
//	F3  the list of each order holds exactly the free blocks of that order
//	F4  free + used == frames, and Free() says the same
//	F5  the reference count of each frame is the number of its mappings in the
//	    reverse map, and a free frame has none
//
// O(frames + mappings).
func (f *Frames) Check() error {
	c := framesChecker{f: f}
	free := c.tiles()
	if free != f.free {
		c.errorf("F4: %d frames are free, the counter says %d", free, f.free)
	}
	c.lists()
	for i := range f.frame {
		fr := &f.frame[i]
		if int(fr.refs) != len(fr.maps) {
			c.errorf("F5: frame %v counts %d references and has %d mappings", f.addr(int32(i)), fr.refs, len(fr.maps))
		}
	}
	return errors.Join(c.errs...)
}

type framesChecker struct {
	f    *Frames
	errs []error
}

func (c *framesChecker) errorf(format string, args ...any) {
	c.errs = append(c.errs, fmt.Errorf("vm: frames: "+format, args...))
}

// tiles walks the blocks by address and returns how many frames are free.
func (c *framesChecker) tiles() (free int) {
	f, n := c.f, len(c.f.frame)
	for i := 0; i < n; {
		b := &f.frame[i]
		k := int(b.order)
		if k < 0 || k >= len(f.head) || 1<<k > n-i || (f.first+uint64(i))&(1<<k-1) != 0 {
			c.errorf("F1: no block of order %d can begin at frame %v", k, f.addr(int32(i)))
			return free
		}
		for j := i; j < i+1<<k; j++ {
			if j > i && f.frame[j].order != inside {
				c.errorf("F1: a block begins at %v, inside the one at %v", f.addr(int32(j)), f.addr(int32(i)))
			}
			if !b.used && len(f.frame[j].maps) != 0 {
				c.errorf("F5: free frame %v has %d mappings", f.addr(int32(j)), len(f.frame[j].maps))
			}
		}
		if !b.used {
			free += 1 << k
			buddy := int64((f.first+uint64(i))^1<<k) - int64(f.first)
			if buddy > int64(i) && buddy < int64(n) && f.frame[buddy].order == b.order && !f.frame[buddy].used {
				c.errorf("F2: blocks %v and %v of order %d are both free", f.addr(int32(i)), f.addr(int32(buddy)), k)
			}
		}
		i += 1 << k
	}
	return free
}

// lists walks the free lists and compares them with the blocks.
func (c *framesChecker) lists() {
	f := c.f
	listed := map[int32]bool{}
	for k, i := range f.head {
		prev := none
		for ; i != none; prev, i = i, f.frame[i].next {
			if i < 0 || int(i) >= len(f.frame) || listed[i] {
				c.errorf("F3: list %d leads to frame number %d, which is no frame or listed already", k, i)
				break
			}
			listed[i] = true
			if b := &f.frame[i]; b.used || int(b.order) != k || b.prev != prev {
				c.errorf("F3: list %d holds %v, which is not a free block of that order", k, f.addr(i))
			}
		}
	}
	for i := range f.frame {
		if b := &f.frame[i]; b.order != inside && !b.used && !listed[int32(i)] {
			c.errorf("F3: free block %v is on no list", f.addr(int32(i)))
		}
	}
}
