package pagetable

import (
	"math/bits"
	"sync/atomic"

	"github.com/memlab-go/memlab/vm"
)

// A fastPlan recognises the walks that are nearly all walks: every entry is
// ordinary, the bits that hardware would set are set, the access is allowed.
// Such a walk changes nothing and cannot fault, so it runs without the lock.
// Everything else is left to the exact walk, which alone knows the rules.
//
// An entry is an ordinary table entry if pte&tblMask == tblWant, an ordinary leaf
// if pte&leafMask == leafWant. Rights are positive bits after the XOR with flip;
// they are ANDed down the levels (keep protects bits that mean nothing in a
// table entry), gathered into an index of 8 bits and looked up.
type fastPlan struct {
	ok      bool
	n       int
	levels  [maxLevels]fastLevel // root first
	narrow  bool                 // entries of less than 8 bytes
	pteMask uint64               // all bits of an entry
	pteLog  uint8                // log2 of its bytes
	rot     int                  // frame field to address
	frame   uint64               // frame field of a table entry
	flip    uint64
	global  uint64 // leaf is global if pte&global == globalWant
	gWant   uint64

	vaShift    uint8 // canonical check: shift up and down again
	signed     bool
	m1, s2, m2 uint64 // index = bits>>1&m1 | bits>>s2&m2
	allow      [256]uint64
	perm       [256]vm.Perm
	ramBase    uint64
}

type fastLevel struct {
	shift, size        uint8 // shift of the index; log2 of a page here
	index              uint64
	tblMask, tblWant   uint64
	leafMask, leafWant uint64
	keep               uint64
	leafFrame          uint64
	ramMax             uint64 // largest offset of a frame in RAM
}

// newFastPlan derives the masks from the rules of p.
func newFastPlan(p *plan) fastPlan {
	f := &p.format
	fp := fastPlan{
		n: len(f.Levels), narrow: f.PTESize < 8, pteMask: ^uint64(0) >> (64 - 8*uint(f.PTESize)), pteLog: uint8(bits.TrailingZeros8(f.PTESize)),
		rot: int(f.FrameShift), frame: f.Frame, flip: f.ReadOnly | f.NoExec | f.PXN,
		vaShift: 64 - f.VABits, signed: f.Signed, ramBase: uint64(p.opts.RAMBase),
	}
	if !fp.gather(f.Read | f.Write | f.Exec | f.User | f.Dirty | f.DirtyModifier | fp.flip) {
		return fp
	}
	switch {
	case f.NotGlobal != 0:
		fp.global, fp.gWant = f.NotGlobal, 0
	case f.Arch == vm.ArchX86 && p.opts.NoPGE:
		fp.global, fp.gWant = bit0, 0
	default:
		fp.global, fp.gWant = f.Global, f.Global
	}
	for i := range f.Levels {
		fp.levels[p.top-i] = p.fastLevel(i)
	}
	for idx := range fp.allow {
		r := p.leafRights(fp.ungather(uint64(idx)) ^ fp.flip)
		fp.perm[idx] = r
		for a := range p.permit {
			if p.permit[a].Has(r) {
				fp.allow[idx] |= 1 << a
			}
		}
	}
	fp.ok = true
	return fp
}

// fastLevel derives the masks of level i.
func (p *plan) fastLevel(i int) fastLevel {
	f, l := &p.format, &p.levels[i]
	fl := fastLevel{shift: l.Shift, size: l.Shift, index: l.index, keep: ^uint64(0), leafFrame: l.leafFrame}
	never := func(mask, want *uint64) { *mask, *want = 0, 1 }
	if i == 0 {
		never(&fl.tblMask, &fl.tblWant)
	} else {
		fl.tblMask = f.Present | l.reserved | l.tblReserved | f.LeafAny | f.TablePresent&^(f.TableWrite|f.TableUser)
		fl.tblWant = f.Present | f.TablePresent&^(f.TableWrite|f.TableUser)
		fl.tblMask |= f.TableNoWrite | f.TableNoUser | f.TablePXN | f.TableNoExec&^f.NoExec
		if l.leafOK {
			fl.tblMask |= f.HugeBit
		}
		if f.Arch != vm.ArchX86 {
			fl.tblMask |= f.Global // a global table makes all below it global: rare
		}
		if f.TableAccessed && !l.Plain {
			fl.tblMask |= f.Accessed
			fl.tblWant |= f.Accessed
		}
		if !excludes(l.illegal, fl.tblMask, fl.tblWant) {
			never(&fl.tblMask, &fl.tblWant)
		}
		if !l.Plain {
			fl.keep = ^(f.TableWrite | f.TableUser | f.TableNoExec&f.NoExec)
		}
	}
	if !l.leafOK {
		never(&fl.leafMask, &fl.leafWant)
		return fl
	}
	fl.leafMask = f.Present | l.reserved | l.lfReserved | l.align | f.Accessed | f.NapotBit | f.PageBits | p.pbmt()
	fl.leafWant = f.Present | f.Accessed
	if i == 0 {
		fl.leafWant |= f.PageBits
	} else {
		fl.leafMask |= f.HugeBit
		fl.leafWant |= f.HugeBit
	}
	if f.LeafAny != 0 { // RISC-V: readable leaves only; W without R is illegal, X alone is rare
		fl.leafMask |= f.Read
		fl.leafWant |= f.Read
	}
	if l.HighBits > 0 && i > 0 { // PSE-36 frames above 4 GiB are left to the exact walk
		fl.leafMask |= bitsOf(uint(l.HighFrom), uint(l.HighFrom+l.HighBits-1))
	}
	fl.ramMax = p.opts.RAMSize - l.Size()
	if p.opts.RAMSize < l.Size() || !excludes(l.illegal, fl.leafMask, fl.leafWant) {
		never(&fl.leafMask, &fl.leafWant)
	}
	return fl
}

// excludes reports whether no entry with e&mask == want matches a pattern.
func excludes(illegal []Pattern, mask, want uint64) bool {
	for _, pat := range illegal {
		if common := pat.Mask & mask; pat.Want&common == want&common {
			return false
		}
	}
	return true
}

// pbmt returns the memory-type bits, which leave a leaf ordinary only when zero.
func (p *plan) pbmt() uint64 {
	if p.opts.Svpbmt {
		return rvPBMT
	}
	return 0
}

// gather finds shifts that bring the given bits into 8: those at 1 to 8, and one
// higher group.
func (fp *fastPlan) gather(mask uint64) bool {
	fp.m1 = mask >> 1 & 0xff
	high := mask &^ 0x1ff
	if high == 0 {
		return mask&1 == 0
	}
	for s := range uint64(64) {
		if m := high >> s; m<<s == high && m < 256 && m&fp.m1 == 0 {
			fp.s2, fp.m2 = s, m
			return mask&1 == 0
		}
	}
	return false
}

// ungather is the inverse of the gathering: the bits that make index idx.
func (fp *fastPlan) ungather(idx uint64) uint64 { return idx&fp.m1<<1 | idx&fp.m2<<fp.s2 }

// walkFast translates va if the walk is an ordinary one and no change of the
// table is under way.
func (t *Table) walkFast(va vm.VirtAddr, acc vm.Access) (vm.Entry, bool) {
	fp := &t.plan.fast
	seq := t.seq.Load()
	if !fp.ok || seq&1 != 0 || t.sink != nil || t.second != nil || acc >= vm.NumAccesses {
		return vm.Entry{}, false
	}
	a := uint64(va)
	if fp.extend(a) != a {
		return vm.Entry{}, false
	}
	base := uint64(t.mem.Base())
	table, rights := uint64(t.root)-base, ^uint64(0)
	for i := range fp.levels[:fp.n] {
		l := &fp.levels[i]
		pte, ok := fp.load(t.words, table+a>>l.shift&l.index<<fp.pteLog)
		if !ok {
			break
		}
		if pte&l.tblMask == l.tblWant {
			rights &= pte ^ fp.flip | l.keep
			table = bits.RotateLeft64(pte&fp.frame, fp.rot) - base
			continue
		}
		if pte&l.leafMask != l.leafWant {
			break
		}
		rights &= pte ^ fp.flip
		idx := uint8(rights>>1&fp.m1 | rights>>(fp.s2&63)&fp.m2)
		frame := bits.RotateLeft64(pte&l.leafFrame, fp.rot)
		if fp.allow[idx]>>(acc&63)&1 == 0 || frame-fp.ramBase > l.ramMax || t.seq.Load() != seq {
			break
		}
		return vm.Entry{
			Page: vm.VirtAddr(a &^ (1<<(l.size&63) - 1)), Frame: vm.PhysAddr(frame), Perm: fp.perm[idx], Shift: l.size,
			Level: int8(fp.n - 1 - i), Refs: uint8(i + 1), Global: pte&fp.global == fp.gWant,
		}, true
	}
	return vm.Entry{}, false
}

// load reads the entry at byte offset off of memory.
func (fp *fastPlan) load(words []uint64, off uint64) (uint64, bool) {
	w := off >> 3
	if w >= uint64(len(words)) {
		return 0, false
	}
	pte := vm.LittleEndian(atomic.LoadUint64(&words[w]))
	if fp.narrow {
		pte = pte >> (off & 7 * 8) & fp.pteMask
	}
	return pte, true
}

// extend makes the canonical address with a's translated bits.
func (fp *fastPlan) extend(a uint64) uint64 {
	if fp.signed {
		return uint64(int64(a) << (fp.vaShift & 63) >> (fp.vaShift & 63))
	}
	return a << (fp.vaShift & 63) >> (fp.vaShift & 63)
}

// WalkAll translates a stream; see [vm.PageTable].
func (t *Table) WalkAll(vas []vm.VirtAddr, acc vm.Access, pas []vm.PhysAddr) (int, *vm.Fault) {
	pas = pas[:len(vas)]
	const chunk = 1024 // what a concurrent change makes us do again
	for n := 0; n < len(vas); {
		end := min(n+chunk, len(vas))
		n += t.walkBatch(vas[n:end], acc, pas[n:end])
		if n == end {
			continue
		}
		e, f := t.walkExact(vas[n], acc, modeAccess)
		if f != nil {
			return n, f
		}
		pas[n] = e.Addr(vas[n])
		n++
	}
	return len(vas), nil
}

// walkBatch is walkFast in a loop: it translates a prefix of vas and returns its
// length.
func (t *Table) walkBatch(vas []vm.VirtAddr, acc vm.Access, pas []vm.PhysAddr) int {
	fp := &t.plan.fast
	seq := t.seq.Load()
	if !fp.ok || seq&1 != 0 || t.sink != nil || t.second != nil || acc >= vm.NumAccesses {
		return 0
	}
	n := 0
	for t.plan.nine.ok {
		n += t.walkRun9(vas[n:], acc, pas[n:])
		if n == len(vas) || t.walkRun(vas[n:n+1], acc, pas[n:]) == 0 {
			break
		}
		n++ // a huge page, or rights that plan9 does not test
	}
	if !t.plan.nine.ok {
		n = t.walkRun(vas, acc, pas)
	}
	if t.seq.Load() != seq {
		return 0
	}
	return n
}

// walkRun is the loop of walkBatch, without the checks around it.
func (t *Table) walkRun(vas []vm.VirtAddr, acc vm.Access, pas []vm.PhysAddr) int {
	fp, words, base := &t.plan.fast, t.words, uint64(t.mem.Base())
	levels, root := fp.levels[:fp.n], uint64(t.root)-base
	flip, frameMask, rot := fp.flip, fp.frame, fp.rot
next:
	for k, va := range vas {
		a := uint64(va)
		if fp.extend(a) != a {
			return k
		}
		table, rights := root, ^uint64(0)
		for i := range levels {
			l := &levels[i]
			off := table + a>>(l.shift&63)&l.index<<(fp.pteLog&63)
			pte, ok := fp.load(words, off)
			if !ok {
				return k
			}
			if pte&l.tblMask == l.tblWant {
				rights &= pte ^ flip | l.keep
				table = bits.RotateLeft64(pte&frameMask, rot) - base
				continue
			}
			if pte&l.leafMask != l.leafWant {
				return k
			}
			rights &= pte ^ flip
			idx := uint8(rights>>1&fp.m1 | rights>>(fp.s2&63)&fp.m2)
			frame := bits.RotateLeft64(pte&l.leafFrame, rot)
			if fp.allow[idx]>>(acc&63)&1 == 0 || frame-fp.ramBase > l.ramMax {
				return k
			}
			pas[k] = vm.PhysAddr(frame | a&(1<<(l.size&63)-1))
			continue next
		}
		return k
	}
	return len(vas)
}
