package arenatest

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/memlab-go/memlab/arena"
)

// Op is one kind of call to a pager.
type Op uint8

// The calls, as [arena.Pager] names them.
const (
	Map Op = iota
	Protect
	Advise
	Move
	Unmap
	Allocate
	Punch
	Sync
	Resident
	numOps
)

// String returns the name of the call in lower case.
func (o Op) String() string {
	names := [numOps]string{"map", "protect", "advise", "move", "unmap", "allocate", "punch", "sync", "resident"}
	if o < numOps {
		return names[o]
	}
	return fmt.Sprintf("op %d", uint8(o))
}

// ErrInjected is the error of a call that was made to fail when no other was
// given.
var ErrInjected = errors.New("arenatest: injected failure")

// A Pager makes the system's calls, counts them, keeps a list of the mappings
// that are held, and fails on demand. A failed call is not passed on, so it
// changes nothing. It is safe for concurrent use.
type Pager struct {
	sys arena.Pager

	mu     sync.Mutex
	counts [numOps]int
	live   map[*byte][]byte // each mapping by its base
	foul   []error          // calls that no correct owner makes

	failOps  [numOps]bool // calls that count towards failAt
	failAt   int          // fail when this reaches 0 counting down; 0: never
	failErr  error
	injected bool
}

// New returns a pager that makes the system's calls and fails none of them.
func New() *Pager {
	return &Pager{sys: arena.SystemPager(), live: map[*byte][]byte{}}
}

// FailAt makes the k-th call from now on fail with err, counted from 1 over
// the given kinds of call, or over all if none are given. A nil err stands for
// [ErrInjected], a k of 0 for no failure.
func (p *Pager) FailAt(k int, err error, ops ...Op) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil {
		err = ErrInjected
	}
	p.failAt, p.failErr, p.injected = k, err, false
	for o := range p.failOps {
		p.failOps[o] = len(ops) == 0
	}
	for _, o := range ops {
		p.failOps[o] = true
	}
}

// Injected reports whether the failure that FailAt asked for has happened.
func (p *Pager) Injected() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.injected
}

// Count returns the number of calls of the given kinds so far, or of all if
// none are given, failed ones included.
func (p *Pager) Count(ops ...Op) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for o, c := range p.counts {
		wanted := len(ops) == 0
		for _, w := range ops {
			wanted = wanted || int(w) == o
		}
		if wanted {
			n += c
		}
	}
	return n
}

// Held returns the number of mappings that are held and their bytes.
func (p *Pager) Held() (mappings, size int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.live {
		size += len(m)
	}
	return len(p.live), size
}

// Check returns an error if mappings are still held, or if a call was made
// that no correct owner makes, such as unmapping what is not mapped.
func (p *Pager) Check() error {
	n, size := p.Held()
	p.mu.Lock()
	defer p.mu.Unlock()
	errs := p.foul[:len(p.foul):len(p.foul)]
	if n > 0 {
		errs = append(errs, fmt.Errorf("arenatest: %d mappings of %d bytes are still held", n, size))
	}
	return errors.Join(errs...)
}

// enter counts a call and returns the error it has to fail with, if any.
func (p *Pager) enter(o Op) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counts[o]++
	if p.failAt == 0 || !p.failOps[o] {
		return nil
	}
	if p.failAt--; p.failAt > 0 {
		return nil
	}
	p.injected = true
	return p.failErr
}

// Map implements [arena.Pager].
func (p *Pager) Map(r arena.MapRequest) ([]byte, error) {
	if err := p.enter(Map); err != nil {
		return nil, err
	}
	mem, err := p.sys.Map(r)
	if err == nil && r.Over == nil {
		p.mu.Lock()
		p.live[&mem[:1][0]] = mem
		p.mu.Unlock()
	}
	return mem, err
}

// Unmap implements [arena.Pager].
func (p *Pager) Unmap(mem []byte) error {
	if err := p.enter(Unmap); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	whole := p.mappingEndingWith(mem)
	if whole == nil {
		err := fmt.Errorf("arenatest: unmap of %d bytes that are no mapping", len(mem))
		p.foul = append(p.foul, err)
		return err
	}
	err := p.sys.Unmap(mem)
	if base := &whole[0]; err == nil && base == &mem[0] {
		delete(p.live, base)
	} else if err == nil {
		p.live[base] = whole[:len(whole)-len(mem)]
	}
	return err
}

// mappingEndingWith returns the mapping that mem is, or is the last part of, nil if there
// is none.
func (p *Pager) mappingEndingWith(mem []byte) []byte {
	for _, m := range p.live {
		if 0 < len(mem) && len(mem) <= len(m) && &m[len(m)-len(mem)] == &mem[0] {
			return m
		}
	}
	return nil
}

// Protect implements [arena.Pager].
func (p *Pager) Protect(mem []byte, prot arena.Prot) error {
	if err := p.enter(Protect); err != nil {
		return err
	}
	return p.sys.Protect(mem, prot)
}

// Advise implements [arena.Pager].
func (p *Pager) Advise(mem []byte, a arena.Advice) error {
	if err := p.enter(Advise); err != nil {
		return err
	}
	return p.sys.Advise(mem, a)
}

// Move implements [arena.Pager].
func (p *Pager) Move(dst, src []byte) error {
	if err := p.enter(Move); err != nil {
		return err
	}
	return p.sys.Move(dst, src)
}

// Allocate implements [arena.Pager].
func (p *Pager) Allocate(f *os.File, off, size int64) error {
	if err := p.enter(Allocate); err != nil {
		return err
	}
	return p.sys.Allocate(f, off, size)
}

// Punch implements [arena.Pager].
func (p *Pager) Punch(f *os.File, off, size int64) error {
	if err := p.enter(Punch); err != nil {
		return err
	}
	return p.sys.Punch(f, off, size)
}

// Sync implements [arena.Pager].
func (p *Pager) Sync(mem []byte) error {
	if err := p.enter(Sync); err != nil {
		return err
	}
	return p.sys.Sync(mem)
}

// Resident implements [arena.Pager].
func (p *Pager) Resident(mem []byte) (int, error) {
	if err := p.enter(Resident); err != nil {
		return 0, err
	}
	return p.sys.Resident(mem)
}
