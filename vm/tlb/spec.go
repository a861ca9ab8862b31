package tlb

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

// ParseSpec reads the short form of a configuration: levels separated by commas,
// each an array ENTRIESxWAYS, or two of them after "split:", for instructions
// and data, separated by a slash. ENTRIES alone is fully associative; ":POLICY"
// behind an array is one of lru (the default), plru, fifo, random and lfu.
//
//	64x4                          one level, 16 sets of 4 ways, LRU
//	64x4,1536x12                  two levels
//	split:64x8/64x4,1536x12       instructions and data, then a shared level
//	32:plru                       fully associative, tree-PLRU
func ParseSpec(s string) (Config, error) {
	c := Config{Name: s}
	for text := range strings.SplitSeq(s, ",") {
		var l Level
		data := text
		if pair, ok := strings.CutPrefix(text, "split:"); ok {
			instr, rest, ok := strings.Cut(pair, "/")
			if !ok {
				return Config{}, specError(s, text, "want split:INSTR/DATA")
			}
			a, err := parseArray(instr)
			if err != nil {
				return Config{}, specError(s, instr, err.Error())
			}
			l.Instr, data = []Array{a}, rest
		}
		a, err := parseArray(data)
		if err != nil {
			return Config{}, specError(s, data, err.Error())
		}
		l.Data = []Array{a}
		c.Levels = append(c.Levels, l)
	}
	if err := c.Check(); err != nil {
		return Config{}, fmt.Errorf("%q: %w", s, err)
	}
	return c, nil
}

func specError(spec, part, msg string) error {
	if part == spec {
		return geometry("%q: %s", spec, msg)
	}
	return geometry("%q: %q: %s", spec, part, msg)
}

// parseArray parses "64x4:fifo".
func parseArray(s string) (a Array, err error) {
	shape, policy, hasPolicy := strings.Cut(s, ":")
	if hasPolicy {
		a.Policy = Policy(strings.ToLower(policy))
	}
	entries, ways, hasWays := strings.Cut(shape, "x")
	if a.Entries, err = strconv.Atoi(entries); err != nil {
		return a, fmt.Errorf("want ENTRIESxWAYS, as 64x4")
	}
	if hasWays {
		if a.Ways, err = strconv.Atoi(ways); err != nil || a.Ways == 0 {
			return a, fmt.Errorf("want ENTRIESxWAYS with at least one way, as 64x4")
		}
	}
	return a, nil
}

// Load reads the configuration that arg names: a preset's name, JSON text (it
// begins with a brace), the short form of [ParseSpec], or else a JSON file read
// with readFile. What is neither a short form nor the name of a file is reported
// as a bad short form, unless it ends in ".json".
func Load(arg string, readFile func(string) ([]byte, error)) (Config, error) {
	for _, p := range Presets() {
		if p.Name == arg {
			return p, nil
		}
	}
	if strings.HasPrefix(strings.TrimSpace(arg), "{") {
		return ParseConfig([]byte(arg))
	}
	c, specErr := ParseSpec(arg)
	if specErr == nil {
		return c, nil
	}
	b, err := readFile(arg)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) && !strings.HasSuffix(arg, ".json") {
			err = specErr
		}
		return Config{}, err
	}
	if c, err = ParseConfig(b); err != nil {
		return Config{}, fmt.Errorf("%s: %w", arg, err)
	}
	return c, nil
}
