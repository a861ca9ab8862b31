package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/memlab-go/memlab/internal/cli"
)

// A translateCase is one case of OSTEP's translation homework, inputs only.
// Pointers tell the kinds apart.
type translateCase struct {
	Base, Limit *int64 // base and bounds

	ASize    json.RawMessage `json:"asize"` // segmentation: bytes; linear: "16k"
	Segments []struct {
		Base, Limit int64
		Grows       string
	} `json:"segments"`

	Page  string  `json:"page"` // linear
	Table []int64 `json:"table"`

	PDBR     *int64   `json:"pdbr"` // two levels
	PageSize int64    `json:"page_size"`
	VABits   int      `json:"va_bits"`
	Memory   []string `json:"memory"`

	Queries []struct {
		VA int64 `json:"va"`
	} `json:"queries"`
}

// A translateAnswer is what is known of one query; absent fields do not apply.
type translateAnswer struct {
	VA       int64  `json:"va"`
	Seg      *int64 `json:"seg,omitempty"`
	VPN      *int64 `json:"vpn,omitempty"`
	PDEIndex *int64 `json:"pde_index,omitempty"`
	PDE      *int64 `json:"pde,omitempty"`
	PTEIndex *int64 `json:"pte_index,omitempty"`
	PTE      *int64 `json:"pte,omitempty"`
	PA       *int64 `json:"pa,omitempty"`
	Value    *int64 `json:"value,omitempty"`
	Fault    any    `json:"fault,omitempty"` // true, or "pde" or "pte"
}

type translateCaseAnswer struct {
	Queries []translateAnswer `json:"queries"`
}

// solveTranslateCases answers a JSON array of cases.
func solveTranslateCases(r io.Reader) ([]translateCaseAnswer, error) {
	var cases []translateCase
	if err := cli.ReadJSON(r, &cases); err != nil {
		return nil, err
	}
	answers := make([]translateCaseAnswer, len(cases))
	for i := range cases {
		answer, err := cases[i].solver()
		if err != nil {
			return nil, fmt.Errorf("case %d: %w", i, err)
		}
		answers[i].Queries = []translateAnswer{}
		for k, q := range cases[i].Queries {
			if q.VA < 0 {
				return nil, fmt.Errorf("case %d: query %d: address %d", i, k, q.VA)
			}
			answers[i].Queries = append(answers[i].Queries, answer(q.VA))
		}
	}
	return answers, nil
}

// solver checks the inputs and returns what answers the queries.
func (c *translateCase) solver() (func(va int64) translateAnswer, error) {
	switch {
	case c.PDBR != nil:
		return c.twoLevel()
	case c.Table != nil:
		return c.linear()
	case c.Segments != nil:
		return c.segmented()
	case c.Base != nil && c.Limit != nil:
		return c.baseBounds, nil
	}
	return nil, fmt.Errorf("has none of pdbr, table, segments, base with limit")
}

func (c *translateCase) baseBounds(va int64) translateAnswer {
	if va >= *c.Limit {
		return translateAnswer{VA: va, Fault: true}
	}
	pa := *c.Base + va
	return translateAnswer{VA: va, PA: &pa}
}

// segmented picks the segment by the top bits of the address; one that grows
// downwards ends where its part of the address space ends.
func (c *translateCase) segmented() (func(int64) translateAnswer, error) {
	size, err := parseSize(c.ASize)
	if err != nil || len(c.Segments) == 0 || size%int64(len(c.Segments)) != 0 {
		return nil, fmt.Errorf("asize %s with %d segments: %v", c.ASize, len(c.Segments), err)
	}
	part := size / int64(len(c.Segments))
	for i, s := range c.Segments {
		if s.Grows != "positive" && s.Grows != "negative" {
			return nil, fmt.Errorf("segment %d grows %q: want positive or negative", i, s.Grows)
		}
	}
	return func(va int64) translateAnswer {
		seg := min(va/part, int64(len(c.Segments))-1)
		s, off := c.Segments[seg], va-seg*part
		ok := off < s.Limit
		if s.Grows == "negative" {
			off -= part
			ok = -off <= s.Limit
		}
		if !ok || va >= size {
			return translateAnswer{VA: va, Seg: &seg, Fault: true}
		}
		pa := s.Base + off
		return translateAnswer{VA: va, Seg: &seg, PA: &pa}
	}, nil
}

// linear looks the page up in one array; bit 31 of an entry says that it is valid.
func (c *translateCase) linear() (func(int64) translateAnswer, error) {
	page, err := parseSize([]byte(c.Page))
	if err != nil {
		return nil, fmt.Errorf("page: %w", err)
	}
	return func(va int64) translateAnswer {
		vpn := va / page
		if vpn >= int64(len(c.Table)) || c.Table[vpn]>>31&1 == 0 {
			return translateAnswer{VA: va, VPN: &vpn, Fault: true}
		}
		pa := c.Table[vpn]&(1<<31-1)*page + va%page
		return translateAnswer{VA: va, PA: &pa}
	}, nil
}

// twoLevel walks directory and page table; an entry is a byte, valid bit first.
func (c *translateCase) twoLevel() (func(int64) translateAnswer, error) {
	if c.PageSize <= 0 || c.PageSize&(c.PageSize-1) != 0 {
		return nil, fmt.Errorf("page_size %d is no power of two", c.PageSize)
	}
	var mem []byte
	for i, s := range c.Memory {
		b, err := hex.DecodeString(s)
		if err != nil || int64(len(b)) != c.PageSize {
			return nil, fmt.Errorf("memory page %d: %d bytes of hex, want %d: %v", i, len(b), c.PageSize, err)
		}
		mem = append(mem, b...)
	}
	at := func(page, off int64) int64 {
		if i := page*c.PageSize + off; i < int64(len(mem)) {
			return int64(mem[i])
		}
		return 0 // no memory there: not valid
	}
	if *c.PDBR < 0 || *c.PDBR >= int64(len(c.Memory)) {
		return nil, fmt.Errorf("pdbr %d is outside memory of %d pages", *c.PDBR, len(c.Memory))
	}
	return func(va int64) translateAnswer {
		i, k, off := va/c.PageSize/c.PageSize%c.PageSize, va/c.PageSize%c.PageSize, va%c.PageSize
		pde := at(*c.PDBR, i)
		a := translateAnswer{VA: va, PDEIndex: &i, PDE: &pde}
		if pde&0x80 == 0 {
			a.Fault = "pde"
			return a
		}
		pte := at(pde&0x7f, k)
		a.PTEIndex, a.PTE = &k, &pte
		if pte&0x80 == 0 {
			a.Fault = "pte"
			return a
		}
		pa, value := pte&0x7f*c.PageSize+off, at(pte&0x7f, off)
		a.PA, a.Value = &pa, &value
		return a
	}, nil
}

// parseSize reads a size of OSTEP's: a number, or text with k, m or g.
func parseSize(raw []byte) (int64, error) {
	s := strings.ToLower(strings.Trim(string(raw), `" `))
	shift := 0
	for i, unit := range []string{"k", "m", "g"} {
		if t, ok := strings.CutSuffix(s, unit); ok {
			s, shift = t, 10*(i+1)
		}
	}
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil || n <= 0 {
		return 0, fmt.Errorf("%q is not a size", raw)
	}
	return n << shift, nil
}
