// Command lsmkv is a small key-value shell on a store of package lsm. Without
// flags it plays a script that shows overwriting, deletion, prefixes, snapshots
// and a reopening; with -i it takes commands from standard input, in a directory
// that stays.
//
//	go run ./examples/lsmkv
//	go run ./examples/lsmkv -i -dir /tmp/kv
package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"strings"

	"github.com/memlab-go/memlab/lsm"
)

const script = `put apple red
put banana yellow
put cherry dark red
get banana
put banana green
get banana
snap
del apple
put banana brown
list
old get banana
old list
unsnap
delrange b c
list
flush
reopen
get cherry
get apple
put user:1 ann
put user:2 bob
put zebra striped
list user:
compact
count`

func main() {
	log.SetFlags(0)
	interactive := flag.Bool("i", false, "take commands from standard input instead of playing the script")
	dir := flag.String("dir", "", "the store's `directory`; by default one that is removed at the end")
	flag.Parse()
	if err := run(os.Stdout, os.Stdin, *interactive, *dir); err != nil {
		log.Fatal("lsmkv: ", err)
	}
}

// run plays the script, or the commands from in.
func run(out io.Writer, in io.Reader, interactive bool, dir string) (err error) {
	if dir == "" {
		if dir, err = os.MkdirTemp("", "lsmkv"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	s := &shell{out: out, dir: dir}
	if err := s.open(); err != nil {
		return err
	}
	if !interactive {
		in = strings.NewReader(script)
	}
	err = s.play(in, !interactive)
	return errors.Join(err, s.close())
}

// A shell is a store, a snapshot of it or none, and where answers go.
type shell struct {
	out  io.Writer
	dir  string
	db   *lsm.DB
	snap *lsm.Snapshot
}

func (s *shell) open() (err error) {
	// Sizes for a small store: it holds 6 MiB off the Go heap.
	s.db, err = lsm.Open(s.dir, &lsm.Options{WriteBufferSize: 1 << 20, BlockCacheSize: 2 << 20, TablesSize: 1 << 20})
	return err
}

func (s *shell) close() error {
	err := s.unsnap()
	return errors.Join(err, s.db.Close())
}

func (s *shell) unsnap() error {
	if s.snap == nil {
		return nil
	}
	err := s.snap.Close()
	s.snap = nil
	return err
}

// play runs the commands of in, a line each, and shows them first if echo.
func (s *shell) play(in io.Reader, echo bool) error {
	sc := bufio.NewScanner(in)
	for sc.Scan() {
		line := strings.TrimSpace(sc.Text())
		if line == "" {
			continue
		}
		if line == "quit" {
			return nil
		}
		if echo {
			fmt.Fprintf(s.out, "> %s\n", line)
		}
		if err := s.command(line); err != nil {
			fmt.Fprintf(s.out, "error: %v\n", err)
		}
	}
	return sc.Err()
}
