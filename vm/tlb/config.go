package tlb

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/bits"
)

// A Config is the shape of a TLB. The zero value is not valid; a level needs at
// least one array.
type Config struct {
	Name       string      `json:"name,omitempty"`
	Source     string      `json:"source,omitempty"` // where the figures come from
	Levels     []Level     `json:"levels"`           // the one asked first comes first
	WalkCaches []WalkCache `json:"walk_caches,omitempty"`
	Prefetch   Prefetch    `json:"prefetch,omitempty"` // needs [TLB.SetPrefetch] to work
	Cost       Cost        `json:"cost,omitzero"`
}

// A Level is one level of the hierarchy. Instruction fetches ask Instr, loads
// and stores Data; with no Instr, Data serves both.
type Level struct {
	Data      []Array   `json:"data"`
	Instr     []Array   `json:"instr,omitempty"`
	Inclusion Inclusion `json:"inclusion,omitempty"` // of the levels before it
}

// An Array is one set-associative memory of entries.
type Array struct {
	Entries int    `json:"entries"`
	Ways    int    `json:"ways,omitempty"`   // 0: fully associative; at most 65536
	Policy  Policy `json:"policy,omitempty"` // empty: LRU
	Seed    uint64 `json:"seed,omitempty"`   // of Random
	// Pages lists the page sizes in bytes that the array takes; none: every
	// size. A page of another size is not kept in it.
	Pages []uint64 `json:"pages,omitempty"`
}

// A Policy says which way of a full set a new entry replaces.
type Policy string

// The replacement policies. Empty ways are always filled first, the lowest
// first.
const (
	LRU    Policy = "lru"    // the way used longest ago
	PLRU   Policy = "plru"   // tree of bits that point away from the ways used (ways: a power of two, at most 64)
	FIFO   Policy = "fifo"   // the way filled longest ago
	Random Policy = "random" // any way, from a seeded generator
	LFU    Policy = "lfu"    // the way used least since it was filled; among equals the one used longest ago
)

// An Inclusion says how a level relates to the levels before it.
type Inclusion string

// The kinds of inclusion.
const (
	NonInclusive Inclusion = ""          // filled by walks; evictions do not touch other levels
	Inclusive    Inclusion = "inclusive" // filled by walks; what it evicts leaves the levels before it too
	Exclusive    Inclusion = "exclusive" // filled by victims of the level before it; a hit moves the entry there
)

// A Prefetch says what is fetched besides the page that missed.
type Prefetch string

// The kinds of prefetching.
const (
	NoPrefetch Prefetch = ""
	NextPage   Prefetch = "next-page" // after a walk for page p, p+1 of the same size
)

// A WalkCache is a page-walk cache: it remembers the tables at one level of the
// page table, so that a walk can begin there.
type WalkCache struct {
	Level   int   `json:"level"` // of the tables it leads to: 0 is the last
	Shift   uint8 `json:"shift"` // log2 of the bytes that such a table covers: 21 for x86-64's level 0
	Entries int   `json:"entries"`
	Ways    int   `json:"ways,omitempty"` // 0: fully associative
}

// ErrGeometry is wrapped by every error about the shape of a TLB.
var ErrGeometry = errors.New("tlb: bad geometry")

func geometry(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrGeometry, fmt.Sprintf(format, args...))
}

// Bounds of one array: of its memory, and of what the hint of a set can name.
const (
	maxEntries = 1 << 24
	maxWays    = 1 << 16
)

// Check reports everything that is wrong with c; each error wraps
// [ErrGeometry] and names the array.
func (c *Config) Check() error {
	var errs []error
	if len(c.Levels) == 0 {
		errs = append(errs, geometry("no levels"))
	}
	for i, l := range c.Levels {
		where := fmt.Sprintf("level %d", i+1)
		if len(l.Data) == 0 {
			errs = append(errs, geometry("%s has no data array", where))
		}
		switch {
		case l.Inclusion != NonInclusive && l.Inclusion != Inclusive && l.Inclusion != Exclusive:
			errs = append(errs, geometry("%s: unknown inclusion %q", where, l.Inclusion))
		case i == 0 && l.Inclusion != NonInclusive:
			errs = append(errs, geometry("level 1 has no level before it to be %s of", l.Inclusion))
		}
		for j := range l.Data {
			errs = append(errs, l.Data[j].check(fmt.Sprintf("%s, data array %d", where, j)))
		}
		for j := range l.Instr {
			errs = append(errs, l.Instr[j].check(fmt.Sprintf("%s, instruction array %d", where, j)))
		}
	}
	for i, w := range c.WalkCaches {
		where := fmt.Sprintf("walk cache %d", i)
		errs = append(errs, (&Array{Entries: w.Entries, Ways: w.Ways}).check(where))
		if w.Level < 0 || w.Level > 5 || w.Shift < 1 || w.Shift > 62 {
			errs = append(errs, geometry("%s: level %d or shift %d out of range", where, w.Level, w.Shift))
		}
	}
	if c.Prefetch != NoPrefetch && c.Prefetch != NextPage {
		errs = append(errs, geometry("unknown prefetch %q", c.Prefetch))
	}
	return errors.Join(errs...)
}

// check reports what is wrong with a.
func (a *Array) check(where string) error {
	ways := a.ways()
	switch {
	case a.Entries <= 0 || a.Entries > maxEntries:
		return geometry("%s: %d entries, want 1 to %d", where, a.Entries, maxEntries)
	case a.Ways < 0 || ways > a.Entries:
		return geometry("%s: %d ways of %d entries", where, a.Ways, a.Entries)
	case ways > maxWays:
		return geometry("%s: %d ways, want at most %d", where, ways, maxWays)
	case a.Entries%ways != 0:
		return geometry("%s: %d ways do not divide %d entries", where, ways, a.Entries)
	case !powerOfTwo(a.Entries / ways):
		return geometry("%s: %d entries in %d ways make %d sets, not a power of two", where, a.Entries, ways, a.Entries/ways)
	}
	switch a.Policy {
	case "", LRU, FIFO, Random, LFU:
	case PLRU:
		if !powerOfTwo(ways) || ways > 64 {
			return geometry("%s: plru needs a power of two of at most 64 ways, not %d", where, ways)
		}
	default:
		return geometry("%s: unknown policy %q (have lru, plru, fifo, random, lfu)", where, a.Policy)
	}
	for i, p := range a.Pages {
		if p < 2 || p > 1<<62 || p&(p-1) != 0 {
			return geometry("%s: page size %d is not a power of two from 2 to 2^62", where, p)
		}
		for _, q := range a.Pages[:i] {
			if p == q {
				return geometry("%s: page size %d twice", where, p)
			}
		}
	}
	return nil
}

func powerOfTwo(n int) bool { return n > 0 && n&(n-1) == 0 }

// ways returns the number of ways, a fully associative array's too.
func (a *Array) ways() int {
	if a.Ways == 0 {
		return max(a.Entries, 1)
	}
	return a.Ways
}

// sizes returns the set of page sizes that a takes, bit s for 2^s bytes.
func (a *Array) sizes() uint64 {
	if len(a.Pages) == 0 {
		return 1<<63 - 2
	}
	m := uint64(0)
	for _, p := range a.Pages {
		m |= 1 << bits.TrailingZeros64(p)
	}
	return m
}

// ParseConfig reads a Config from JSON. Unknown fields, further values and bad
// geometry are errors.
func ParseConfig(data []byte) (Config, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	var c Config
	if err := d.Decode(&c); err != nil {
		return Config{}, fmt.Errorf("tlb: configuration: offset %d: %w", d.InputOffset(), err)
	}
	if _, err := d.Token(); err != io.EOF {
		return Config{}, fmt.Errorf("tlb: configuration: offset %d: more behind the first value", d.InputOffset())
	}
	return c, c.Check()
}
