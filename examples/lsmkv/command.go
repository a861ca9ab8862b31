package main

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/memlab-go/memlab/lsm"
)

const help = `put KEY VALUE    get KEY    del KEY    delrange FROM TO
list [PREFIX]    count      flush      compact
snap             old get KEY | old list [PREFIX]      unsnap
reopen           stats      quit`

// A reader is what can be read: the store now, or a snapshot.
type reader interface {
	Get(key []byte) ([]byte, error)
	NewIter(o *lsm.IterOptions) (*lsm.Iterator, error)
}

// command runs one command.
func (s *shell) command(line string) error {
	verb, rest, _ := strings.Cut(line, " ")
	rest = strings.TrimSpace(rest)
	switch verb {
	case "put":
		key, value, ok := strings.Cut(rest, " ")
		if !ok {
			return errors.New("put takes a key and a value")
		}
		return s.db.Put([]byte(key), []byte(value))
	case "del":
		return s.db.Delete([]byte(rest))
	case "delrange":
		lo, hi, _ := strings.Cut(rest, " ")
		return s.db.DeleteRange([]byte(lo), []byte(hi))
	case "get", "list", "count":
		return s.read(s.db, verb, rest)
	case "old":
		if s.snap == nil {
			return errors.New("there is no snapshot: take one with snap")
		}
		verb, rest, _ = strings.Cut(rest, " ")
		return s.read(s.snap, verb, rest)
	}
	return s.manage(verb)
}

// read runs a command that changes nothing.
func (s *shell) read(r reader, verb, arg string) error {
	switch verb {
	case "get":
		v, err := r.Get([]byte(arg))
		if errors.Is(err, lsm.ErrNotFound) {
			fmt.Fprintf(s.out, "%s has no value\n", arg)
			return nil
		}
		if err == nil {
			fmt.Fprintf(s.out, "%s\n", v)
		}
		return err
	case "list", "count":
		return s.list(r, []byte(arg), verb == "count")
	}
	return fmt.Errorf("unknown command %q", verb)
}

// list prints, or counts, the keys with a prefix.
func (s *shell) list(r reader, prefix []byte, countOnly bool) error {
	it, err := r.NewIter(&lsm.IterOptions{LowerBound: prefix})
	if err != nil {
		return err
	}
	n := 0
	for k, v := range it.All() {
		if !bytes.HasPrefix(k, prefix) {
			break
		}
		if n++; !countOnly {
			fmt.Fprintf(s.out, "%s = %s\n", k, v)
		}
	}
	fmt.Fprintf(s.out, "%d keys\n", n)
	return it.Close()
}

// manage runs a command about the store as a whole.
func (s *shell) manage(verb string) (err error) {
	switch verb {
	case "snap":
		if err := s.unsnap(); err != nil {
			return err
		}
		s.snap, err = s.db.NewSnapshot()
		return err
	case "unsnap":
		return s.unsnap()
	case "flush":
		return s.db.Flush()
	case "compact":
		return s.db.CompactRange(nil, nil)
	case "reopen":
		if err := s.close(); err != nil {
			return err
		}
		return s.open()
	case "stats":
		st := s.db.Stats()
		fmt.Fprintf(s.out, "%d writes, last sequence number %d\n", st.Writes, st.LastSeq)
		for _, l := range st.Levels {
			if l.Files > 0 {
				fmt.Fprintf(s.out, "level %d: %d tables, %d bytes\n", l.Level, l.Files, l.Bytes)
			}
		}
		return nil
	case "help":
		fmt.Fprintln(s.out, help)
		return nil
	}
	return fmt.Errorf("unknown command %q, try help", verb)
}
