package replace

import (
	"iter"

	"github.com/memlab-go/memlab/vm"
)

// CAR is [ARC] with clocks in place of the lists T1 and T2, so that a hit only
// sets a bit (Bansal and Modha, CAR: clock with adaptive replacement, FAST 2004,
// figure 2). With the frames c:
//
//   - hit: the page's bit is set;
//   - miss with memory full: until a page is found: if |T1| ≥ max(1, p), the head
//     of T1 is evicted into B1 if its bit is clear, else it goes to the tail of T2
//     with its bit cleared; otherwise the head of T2 is evicted into B2 if its bit
//     is clear, else goes to the tail of T2 with its bit cleared. Then, if the miss
//     is in neither B list: the oldest of B1 is forgotten if |T1|+|B1| = c, else
//     the oldest of B2 if all four hold 2c;
//   - load: to the tail of T1 if in no B list; else p moves as in ARC and the page
//     goes to the tail of T2. The bit is clear.
//
// O(1) amortized.
type CAR struct {
	list  rings // head of a clock at the front, tail at the back; oldest of B at the front
	where []uint8
	bit   []bool
	c     int
	p     float64
}

// NewCAR returns an empty CAR for the given number of frames.
func NewCAR(frames int) *CAR { return &CAR{list: newRings(4), c: max(frames, 1)} }

// Hit implements [vm.Policy].
func (c *CAR) Hit(p vm.PageID, _ bool) { c.bit[p] = true }

// Insert implements [vm.Policy].
func (c *CAR) Insert(p vm.PageID, _ bool) {
	c.list.grow(p)
	growTo(&c.where, int(p)+1)
	growTo(&c.bit, int(p)+1)
	b1, b2 := float64(c.list.size[arcB1]), float64(c.list.size[arcB2])
	to := arcT2
	switch c.where[p] {
	case 0:
		to = arcT1
	case 1 + arcB1:
		c.p = min(c.p+max(1, b2/b1), float64(c.c))
		c.leave(p)
	default:
		c.p = max(c.p-max(1, b1/b2), 0)
		c.leave(p)
	}
	c.bit[p] = false
	c.enter(to, p)
}

// Victim implements [vm.Policy].
func (c *CAR) Victim(next vm.PageID) (vm.PageID, bool) {
	if c.list.size[arcT1]+c.list.size[arcT2] == 0 {
		return 0, false
	}
	victim := c.replace()
	if !remembered(c.where, next) {
		s := c.list.size
		if s[arcT1]+s[arcB1] >= c.c && s[arcB1] > 0 {
			c.leave(c.list.front(arcB1))
		} else if s[arcT1]+s[arcT2]+s[arcB1]+s[arcB2] >= 2*c.c && s[arcB2] > 0 {
			c.leave(c.list.front(arcB2))
		}
	}
	return victim, true
}

// replace is the paper's replace(): at least one page is resident.
func (c *CAR) replace() vm.PageID {
	for {
		from := arcT2
		if t1 := c.list.size[arcT1]; t1 > 0 && (float64(t1) >= max(1, c.p) || c.list.size[arcT2] == 0) {
			from = arcT1
		}
		p := c.list.front(from)
		c.leave(p)
		if !c.bit[p] {
			c.enter(from+arcB1-arcT1, p)
			return p
		}
		c.bit[p] = false
		c.enter(arcT2, p)
	}
}

// Remove implements [vm.Policy].
func (c *CAR) Remove(p vm.PageID) { c.leave(p) }

// Pages implements [vm.Lister]: T1, then T2, each from its head.
func (c *CAR) Pages() iter.Seq[vm.PageID] { return c.list.allOf(arcT1, arcT2) }

func (c *CAR) enter(list int, p vm.PageID) {
	c.list.pushBack(list, p)
	c.where[p] = uint8(1 + list)
}

func (c *CAR) leave(p vm.PageID) {
	c.list.remove(int(c.where[p])-1, p)
	c.where[p] = 0
}
