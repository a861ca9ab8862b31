package main

import (
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

const cppName = "leveldb-c++"

//go:embed cpp/leveldb.cc
var cppSource string

// buildCpp compiles the C++ side, if it was asked for and can be. It returns
// the program, or "" with a word on standard error.
func (p *plan) buildCpp() (program string, cleanup func()) {
	cleanup = func() {}
	wanted := false
	for _, e := range p.engines {
		wanted = wanted || e == cppName
	}
	if !wanted {
		return "", cleanup
	}
	dir, err := os.MkdirTemp("", "lsm-bench-build")
	if err != nil {
		fmt.Fprintln(os.Stderr, "leveldb-c++ left out:", err)
		return "", cleanup
	}
	cleanup = func() { _ = os.RemoveAll(dir) }
	src, program := filepath.Join(dir, "leveldb.cc"), filepath.Join(dir, "leveldb")
	err = os.WriteFile(src, []byte(cppSource), 0o644)
	if err == nil {
		var out []byte
		if out, err = exec.Command("g++", "-O2", "-std=c++17", "-o", program, src, "-lleveldb", "-lpthread").CombinedOutput(); err != nil {
			err = fmt.Errorf("%w: %s", err, firstLine(out))
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "leveldb-c++ left out:", err)
		return "", cleanup
	}
	return program, cleanup
}

func firstLine(b []byte) string {
	s, _, _ := strings.Cut(string(b), "\n")
	return s
}

// cppArgs are the arguments behind the directory.
func (p *plan) cppArgs() []string {
	args := []string{strings.Join(p.workloads, ",")}
	for _, v := range []int{p.c.N, p.c.ValueSize, p.c.Memtable, p.c.Cache, p.c.BloomBits} {
		args = append(args, strconv.Itoa(v))
	}
	return append(args, strconv.FormatBool(p.c.Snappy))
}
