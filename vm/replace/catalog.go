package replace

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/memlab-go/memlab/vm"
)

// Config is what a policy is made from besides its name.
type Config struct {
	Frames int     // of the memory it will serve
	Seed   int64   // of the random policies
	Draws  int     // OSTEP's random policies: numbers drawn before, see [OSTEPDraws]
	Future *Future // OPT and UNOPT: the references to come
}

// A PolicyInfo describes a policy of the catalogue.
type PolicyInfo struct {
	Name    string // canonical, as reports print it
	Summary string
	Param   string // name of its one parameter, or empty
	Default string // the parameter's default, in words
	Future  bool   // it must know the references to come
	Compat  bool   // exists for compatibility with OSTEP only
	make    func(c Config, param int) vm.Policy
	def     func(c Config) int // default of the parameter
}

// fixed is a default that does not depend on the configuration.
func fixed(n int) func(Config) int { return func(Config) int { return n } }

// perFrame is a default of n for each frame.
func perFrame(n int) func(Config) int { return func(c Config) int { return max(1, n*c.Frames) } }

// Catalog returns all policies, in the order in which reports list them.
func Catalog() []PolicyInfo {
	return []PolicyInfo{
		{Name: "FIFO", Summary: "oldest load", make: func(Config, int) vm.Policy { return NewFIFO() }},
		{Name: "LRU", Summary: "least recently used", make: func(Config, int) vm.Policy { return NewLRU() }},
		{Name: "CLOCK", Summary: "one reference bit and a hand", make: func(Config, int) vm.Policy { return NewClock() }},
		{Name: "SECOND-CHANCE", Summary: "FIFO that spares referenced pages", make: func(Config, int) vm.Policy { return NewSecondChance() }},
		{Name: "NRU", Summary: "four classes by reference and write bits", Param: "tick", Default: "16 × frames",
			def: perFrame(16), make: func(_ Config, n int) vm.Policy { return NewNRU(n) }},
		{Name: "CLOCK-M", Summary: "CLOCK that spares dirty pages", make: func(Config, int) vm.Policy { return NewEnhancedClock() }},
		{Name: "LFU", Summary: "fewest references since load", make: func(Config, int) vm.Policy { return NewLFU() }},
		{Name: "LFU-AGED", Summary: "LFU, counts halved regularly", Param: "tick", Default: "64 × frames",
			def: perFrame(64), make: func(_ Config, n int) vm.Policy { return NewAgedLFU(n) }},
		{Name: "AGING", Summary: "8-bit shift registers", Param: "tick", Default: "8 × frames",
			def: perFrame(8), make: func(_ Config, n int) vm.Policy { return NewAging(n) }},
		{Name: "RANDOM", Summary: "any page", make: func(c Config, _ int) vm.Policy { return NewRandom(uint64(c.Seed)) }},
		{Name: "MRU", Summary: "most recently used", make: func(Config, int) vm.Policy { return NewMRU() }},
		{Name: "OPT", Summary: "farthest next use (Belady)", Future: true,
			make: func(c Config, _ int) vm.Policy { return NewOPT(c.Future) }},
		{Name: "LRU-K", Summary: "oldest k-th last reference", Param: "k", Default: "2",
			def: fixed(2), make: func(_ Config, n int) vm.Policy { return NewLRUK(n) }},
		{Name: "2Q", Summary: "new pages in a queue of their own", make: func(c Config, _ int) vm.Policy { return NewTwoQ(c.Frames) }},
		{Name: "ARC", Summary: "recency and frequency, self-tuning", make: func(c Config, _ int) vm.Policy { return NewARC(c.Frames) }},
		{Name: "CAR", Summary: "ARC with clocks", make: func(c Config, _ int) vm.Policy { return NewCAR(c.Frames) }},
		{Name: "LIRS", Summary: "inter-reference recency", make: func(c Config, _ int) vm.Policy { return NewLIRS(c.Frames) }},
		{Name: "WSCLOCK", Summary: "clock with working-set age", Param: "tau", Default: "8 × frames",
			def: perFrame(8), make: func(_ Config, n int) vm.Policy { return NewWSClock(n) }},
		{Name: "WS", Summary: "working set, trims early", Param: "tau", Default: "8 × frames",
			def: perFrame(8), make: func(_ Config, n int) vm.Policy { return NewWorkingSet(n) }},
		{Name: "PFF", Summary: "page fault frequency, trims early", Param: "threshold", Default: "4 × frames",
			def: perFrame(4), make: func(_ Config, n int) vm.Policy { return NewPFF(n) }},
		{Name: "SIEVE", Summary: "FIFO sifted by a hand", make: func(Config, int) vm.Policy { return NewSieve() }},
		{Name: "S3-FIFO", Summary: "small, main and ghost queue", make: func(c Config, _ int) vm.Policy { return NewS3FIFO(c.Frames) }},
		{Name: "UNOPT", Summary: "nearest next use, the worst", Future: true, Compat: true,
			make: func(c Config, _ int) vm.Policy { return NewUnopt(c.Future) }},
		{Name: "OSTEP-CLOCK", Summary: "CLOCK as the OSTEP homework plays it", Param: "bits", Default: "2", Compat: true,
			def: fixed(2), make: func(c Config, n int) vm.Policy { return NewOSTEPClock(c.Seed, c.Draws, n) }},
		{Name: "OSTEP-RAND", Summary: "RAND as the OSTEP homework plays it", Compat: true,
			make: func(c Config, _ int) vm.Policy { return NewOSTEPRand(c.Seed, c.Draws) }},
	}
}

// A Spec is a policy of the catalogue with its parameter, as text: "LRU",
// "LRU-K", "LRU-K:k=3". It is made with [ParseSpec].
type Spec struct {
	Info  PolicyInfo
	param int // 0: the default
}

// ParseSpec parses a policy's name and parameter, in any case. LRU-2 and the
// like are LRU-K, RAND is RANDOM, ENHANCED-CLOCK is CLOCK-M.
func ParseSpec(s string) (Spec, error) {
	name, rest, hasParam := strings.Cut(strings.ToUpper(strings.TrimSpace(s)), ":")
	k := 0
	if d, ok := strings.CutPrefix(name, "LRU-"); ok && d != "K" {
		if n, err := strconv.Atoi(d); err == nil && n > 0 && n <= maxLRUK {
			name, k = "LRU-K", n
		}
	}
	switch name {
	case "RAND":
		name = "RANDOM"
	case "ENHANCED-CLOCK", "CLOCKM":
		name = "CLOCK-M"
	case "SECONDCHANCE":
		name = "SECOND-CHANCE"
	case "S3FIFO":
		name = "S3-FIFO"
	}
	for _, info := range Catalog() {
		if info.Name != name {
			continue
		}
		spec := Spec{info, k}
		if hasParam {
			return spec.withParam(s, rest)
		}
		return spec, nil
	}
	return Spec{}, fmt.Errorf("replace: unknown policy %q (have %s)", s, strings.Join(Names(), ", "))
}

// maxLRUK bounds the memory of LRU-K.
const maxLRUK = 64

// withParam adds a parameter, "K=3".
func (s Spec) withParam(text, param string) (Spec, error) {
	if s.Info.Param == "" {
		return s, fmt.Errorf("replace: policy %q: %s takes no parameter", text, s.Info.Name)
	}
	key, val, _ := strings.Cut(param, "=")
	n, err := strconv.Atoi(val)
	if !strings.EqualFold(key, s.Info.Param) || err != nil || n < 1 || s.Info.Param == "k" && n > maxLRUK {
		return s, fmt.Errorf("replace: policy %q: want %s:%s=N with a positive N", text, s.Info.Name, s.Info.Param)
	}
	s.param = n
	return s, nil
}

// String returns the canonical text of s.
func (s Spec) String() string {
	switch {
	case s.param == 0:
		return s.Info.Name
	case s.Info.Param == "k":
		return "LRU-" + strconv.Itoa(s.param)
	}
	return fmt.Sprintf("%s:%s=%d", s.Info.Name, s.Info.Param, s.param)
}

// New makes the policy. It panics if the policy needs a Future and there is none.
func (s Spec) New(c Config) vm.Policy {
	if s.Info.Future && c.Future == nil {
		panic("replace: " + s.Info.Name + " needs Config.Future")
	}
	n := s.param
	if n == 0 && s.Info.def != nil {
		n = s.Info.def(c)
	}
	return s.Info.make(c, n)
}

// Names returns the names of all policies.
func Names() []string {
	var names []string
	for _, i := range Catalog() {
		names = append(names, i.Name)
	}
	return names
}

// New makes the policy that spec names, see [ParseSpec].
func New(spec string, c Config) (vm.Policy, error) {
	s, err := ParseSpec(spec)
	if err != nil {
		return nil, err
	}
	if s.Info.Future && c.Future == nil {
		return nil, fmt.Errorf("replace: policy %s needs to know the references to come", s.Info.Name)
	}
	return s.New(c), nil
}
