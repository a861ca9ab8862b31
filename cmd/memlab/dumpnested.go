package main

import "github.com/memlab-go/memlab/vm/pagetable"

type nestedDumper struct{}

func newNestedDumper(name string, first, second *pagetable.Format, seed uint64) *nestedDumper {
	return nil
}

func (n *nestedDumper) build() (*dumpCase, error) { return nil, nil }
