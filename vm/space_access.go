package vm

import "errors"

// maxFaults bounds how often one access is tried again: a page may have to be
// brought in, made writable, and marked accessed and dirty by software.
const maxFaults = 6

// Read copies len(p) bytes at va into p, as user code does, through the MMU; page
// faults are resolved on the way. n is how many bytes were copied: all of them
// unless err, a *[Fault], is not nil.
//
// An access that the space does not permit (NotPresent, Protection) is refused
// before any byte is copied, on however many pages. Where memory or a device
// fails (OutOfFrames, NoVictim, SwapFull, SwapIO), the bytes of the pages before
// have been copied; a page is copied whole or not at all, and the access may be
// tried again.
func (s *Space) Read(va VirtAddr, p []byte) (n int, err error) { return s.access(va, p, Read|User) }

// Write copies p to the len(p) bytes at va, as [Space.Read] does.
func (s *Space) Write(va VirtAddr, p []byte) (n int, err error) { return s.access(va, p, Write|User) }

// Touch does what an access to va does to memory, without data: it translates,
// resolves page faults, and tells the policy. It returns the physical address.
// acc is an operation; it is made as user code. Errors are those of [Space.Read].
func (s *Space) Touch(va VirtAddr, acc Access) (pa PhysAddr, err error) {
	acc = acc.Op() | User
	if !acc.Valid() {
		return 0, &Fault{Kind: Misuse, VA: va, Access: acc, Level: -1, Note: "no such operation"}
	}
	if err := s.permit(va, 1, acc); err != nil {
		return 0, err
	}
	err = s.touch(va, acc, func() (err error) {
		pa, err = s.k.mmu.Translate(va, acc)
		return err
	})
	return pa, err
}

func (s *Space) access(va VirtAddr, p []byte, acc Access) (n int, err error) {
	if len(p) == 0 {
		return 0, s.alive()
	}
	if err := s.permit(va, len(p), acc); err != nil {
		return 0, err
	}
	for n < len(p) {
		at := va + VirtAddr(n)
		part := p[n:min(len(p), n+int(s.pageSize()-at&(s.pageSize()-1)))]
		err := s.touch(at, acc, func() error {
			if acc.Op() == Write {
				return s.k.mmu.Write(at, part, User)
			}
			return s.k.mmu.Read(at, part, User)
		})
		if err != nil {
			return n, err
		}
		n += len(part)
	}
	return n, nil
}

// permit checks all of [va, va+n) against the areas.
func (s *Space) permit(va VirtAddr, n int, acc Access) error {
	if err := s.alive(); err != nil {
		return err
	}
	last := va + VirtAddr(n-1)
	if last < va {
		return &Fault{Kind: BadLength, VA: va, Access: acc, Level: -1, ASID: s.asid}
	}
	for {
		end, f := s.permitted(va, acc)
		if f != nil {
			return f
		}
		if last < end {
			return nil
		}
		va = end
	}
}

// touch does one access inside one page.
func (s *Space) touch(va VirtAddr, acc Access, do func() error) error {
	k := s.k
	k.switchTo(s)
	k.fresh = nil
	for try := 0; ; try++ {
		err := do()
		if err == nil {
			break
		}
		f, ok := errors.AsType[*Fault](err)
		if !ok || try == maxFaults {
			return err
		}
		switch f.Kind {
		case NotPresent, Protection, NotAccessed, NotDirty:
			if err := s.resolve(va, acc, f.Kind); err != nil {
				return err
			}
		default:
			return err
		}
	}
	if e := s.entries[s.number(va)]; e != nil && e.page != k.zero {
		s.referenced(e.page, acc.Op() == Write)
	}
	return nil
}

// referenced tells policy and quota of one reference to p, and does what they ask
// for then.
func (s *Space) referenced(p *page, write bool) {
	k, charged := s.k, p.pool
	if p != k.fresh && p.pins == 0 && charged.policy != nil {
		charged.policy.Hit(p.id, write)
	}
	if s.pool.quota != nil {
		s.pool.quota.Reference(p.id, p == k.fresh)
		k.reclaim(s.pool)
	}
	k.trim(s.pool)
	if charged != s.pool { // another space brought it in
		k.trim(charged)
	}
}
