package lsm

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/memlab-go/memlab/lsm/internal/corrupt"
	"github.com/memlab-go/memlab/lsm/internal/filename"
	"github.com/memlab-go/memlab/lsm/internal/keys"
	"github.com/memlab-go/memlab/lsm/internal/manifest"
	"github.com/memlab-go/memlab/lsm/internal/record"
	"github.com/memlab-go/memlab/lsm/vfs"
)

// A survey is what Open finds in a directory before it changes anything.
type survey struct {
	dir       vfs.Dir
	logs      []uint64          // ascending
	tables    map[uint64]string // number → name
	manifests []uint64
	temps     []string
	unknown   []string
	current   bool // there is a CURRENT

	manifest uint64 // the one that CURRENT names
	comparer string
	logNum   uint64
	prevLog  uint64
	next     uint64 // next file number, as the MANIFEST says
	lastSeq  keys.SeqNum
	pointers [numLevels][]byte
	live     []manifest.TableMeta
	named    map[uint64]bool // tables that any edit names
	cut      error           // the MANIFEST ends in an unfinished edit: what was wrong
}

// list sorts the names in a directory by kind.
func list(dir vfs.Dir) (*survey, error) {
	names, err := dir.List()
	if err != nil {
		return nil, err
	}
	s := &survey{dir: dir, tables: map[uint64]string{}, named: map[uint64]bool{}}
	for _, name := range names {
		if name == lostDir {
			continue
		}
		switch kind, num := filename.Parse(name); kind {
		case filename.Current:
			s.current = true
		case filename.Log:
			s.logs = append(s.logs, num)
		case filename.Table:
			s.tables[num] = name
		case filename.Manifest:
			s.manifests = append(s.manifests, num)
		case filename.Temp:
			s.temps = append(s.temps, name)
		case filename.Unknown:
			s.unknown = append(s.unknown, name)
		}
	}
	slices.Sort(s.logs)
	return s, nil
}

// survey looks through the directory and reads the MANIFEST. In a directory
// without a store it makes an empty one.
func (d *DB) survey() (*survey, error) {
	s, err := list(d.dir)
	if err != nil {
		return nil, fmt.Errorf("lsm: open %s: %w", d.path, err)
	}
	if !s.current {
		if n := len(s.logs) + len(s.tables) + len(s.manifests); n > 0 && !s.unborn() {
			return nil, corrupt.New(filename.CurrentName, corrupt.Current, -1,
				"file is missing, but %d files of a store are there", n)
		}
		if d.opts.ReadOnly || d.opts.MustExist {
			return nil, fmt.Errorf("lsm: open %s: no store: %w", d.path, fs.ErrNotExist)
		}
		return s, d.newStore(s)
	}
	if d.opts.ErrorIfExists {
		return nil, fmt.Errorf("lsm: open %s: %w", d.path, fs.ErrExist)
	}
	if s.manifest, err = readCurrent(d.dir); err != nil {
		return nil, err
	}
	if err := s.readManifest(); err != nil {
		return nil, err
	}
	if s.comparer != "" && s.comparer != d.cmp.Name {
		return nil, fmt.Errorf("%w: %s is sorted by %q, opened with %q", ErrOptions, d.path, s.comparer, d.cmp.Name)
	}
	return s, nil
}

// unborn reports whether the files are what a crash leaves of making a store: a
// first MANIFEST that CURRENT does not name yet, and nothing else.
func (s *survey) unborn() bool {
	return len(s.tables) == 0 && len(s.logs) == 0 && len(s.manifests) == 1 && s.manifests[0] == firstManifest
}

// firstManifest is the number of a new store's MANIFEST, as in LevelDB.
const firstManifest = 1

// newStore makes an empty store: a MANIFEST with one edit, and CURRENT.
func (d *DB) newStore(s *survey) error {
	s.manifest, s.next = firstManifest, firstManifest+1
	zero := keys.SeqNum(0)
	e := &manifest.Edit{Comparer: &d.cmp.Name, LogNum: new(uint64), NextFile: &s.next, LastSeq: &zero}
	f, err := d.dir.Create(filename.MakeManifest(s.manifest))
	if err != nil {
		return fmt.Errorf("lsm: make %s: %w", d.path, err)
	}
	m := &manifestWriter{num: s.manifest, f: f, rec: record.NewWriter(f, nil, 0)}
	if err := joinClose(m.append(e), f); err != nil {
		return fmt.Errorf("lsm: make %s: %w", d.path, err)
	}
	if err := d.dir.Sync(); err != nil {
		return fmt.Errorf("lsm: make %s: %w", d.path, err)
	}
	if err := setCurrent(d.dir, s.manifest); err != nil {
		return fmt.Errorf("lsm: make %s: %w", d.path, err)
	}
	s.manifests = []uint64{s.manifest}
	d.recovery.Created = true
	return nil
}

// readCurrent returns the number of the MANIFEST that CURRENT names.
func readCurrent(dir vfs.Dir) (uint64, error) {
	b, err := readSmall(dir, filename.CurrentName)
	if err != nil {
		return 0, err
	}
	name, ok := strings.CutSuffix(string(b), "\n")
	kind, num := filename.Parse(name)
	if !ok || kind != filename.Manifest {
		return 0, corrupt.New(filename.CurrentName, corrupt.Current, 0, "%q is not the name of a MANIFEST and a newline", b)
	}
	return num, nil
}

// maxSmall bounds what readSmall reads.
const maxSmall = 1 << 10

// readSmall reads a file of at most maxSmall bytes.
func readSmall(dir vfs.Dir, name string) ([]byte, error) {
	f, err := dir.Open(name)
	if err != nil {
		return nil, err
	}
	size, err := f.Size()
	if err == nil && size > maxSmall {
		err = corrupt.New(name, corrupt.Current, 0, "file has %d bytes", size)
	}
	if err != nil {
		return nil, joinClose(err, f)
	}
	b := make([]byte, size)
	n, err := f.ReadAt(b, 0)
	if err == io.EOF {
		err = nil
	}
	return b[:n], joinClose(err, f)
}

// readManifest applies the edits of the MANIFEST one after the other.
func (s *survey) readManifest() error {
	name := filename.MakeManifest(s.manifest)
	f, err := s.dir.Open(name)
	if errors.Is(err, errNotExist) {
		return &corrupt.Error{File: name, Kind: corrupt.Manifest, Off: -1, Err: fmt.Errorf("CURRENT names it: %w", err)}
	}
	if err != nil {
		return err
	}
	size, err := f.Size()
	if err == nil {
		err = s.applyEdits(name, record.NewReader(f, size))
	}
	return joinClose(err, f)
}

func (s *survey) applyEdits(name string, r *record.Reader) error {
	tables := map[manifest.TableRef]manifest.TableMeta{}
	var seen manifest.Edit
	for n := 0; ; n++ {
		rec, err := r.Next()
		var bad *record.Error
		switch {
		case err == io.EOF && r.ZeroTail() > 0:
			s.cut = fmt.Errorf("%d bytes of zeros", r.ZeroTail())
		case errors.As(err, &bad) && (bad.Torn() || bad.Hole):
			s.cut = bad
		case errors.As(err, &bad):
			return &corrupt.Error{File: name, Kind: corrupt.Manifest, Off: bad.Off, Err: bad}
		case err != nil && err != io.EOF:
			return err
		}
		if err != nil {
			return s.finish(name, n, &seen, tables)
		}
		var e manifest.Edit
		if err := e.Decode(rec); err != nil {
			return &corrupt.Error{File: name, Kind: corrupt.Manifest, Off: r.Offset(), Err: err}
		}
		if err := s.applyEdit(&e, &seen, tables); err != nil {
			return &corrupt.Error{File: name, Kind: corrupt.Manifest, Off: r.Offset(), Err: err}
		}
	}
}

// applyEdit applies one edit. seen collects which fields there were.
func (s *survey) applyEdit(e, seen *manifest.Edit, tables map[manifest.TableRef]manifest.TableMeta) error {
	if e.Family != 0 || e.AddFamily != nil || e.DropFamily {
		return errors.New("the store has column families, which this version does not read")
	}
	if e.Comparer != nil {
		s.comparer = *e.Comparer
	}
	if e.LogNum != nil {
		s.logNum, seen.LogNum = *e.LogNum, e.LogNum
	}
	if e.PrevLog != nil {
		s.prevLog = *e.PrevLog
	}
	if e.NextFile != nil {
		s.next, seen.NextFile = *e.NextFile, e.NextFile
	}
	if e.LastSeq != nil {
		s.lastSeq, seen.LastSeq = max(s.lastSeq, *e.LastSeq), e.LastSeq
	}
	for _, p := range e.CompactPointers {
		s.pointers[p.Level] = p.Key
	}
	for _, t := range e.Deleted {
		if _, ok := tables[t]; !ok {
			return fmt.Errorf("table %06d is deleted from level %d but is not there", t.Num, t.Level)
		}
		delete(tables, t)
		s.named[t.Num] = true
	}
	for _, t := range e.Added {
		tables[manifest.TableRef{Level: t.Level, Num: t.Num}] = t
		s.named[t.Num] = true
	}
	return nil
}

// finish checks that the edits say all that is needed.
func (s *survey) finish(name string, edits int, seen *manifest.Edit, tables map[manifest.TableRef]manifest.TableMeta) error {
	if edits == 0 || seen.LogNum == nil || seen.NextFile == nil || seen.LastSeq == nil {
		return corrupt.New(name, corrupt.Manifest, -1, "%d edits do not give log number, next file number and last sequence", edits)
	}
	for _, t := range tables {
		s.live = append(s.live, t)
	}
	slices.SortFunc(s.live, func(a, b manifest.TableMeta) int { return cmp.Compare(a.Num, b.Num) })
	return nil
}

// maxNum returns the largest file number in use.
func (s *survey) maxNum() uint64 {
	n := s.manifest
	for _, l := range s.logs {
		n = max(n, l)
	}
	for t := range s.tables {
		n = max(n, t)
	}
	for _, m := range s.manifests {
		n = max(n, m)
	}
	return n
}

// neededLogs returns the logs that the MANIFEST does not declare covered, oldest
// first.
func (s *survey) neededLogs() []uint64 {
	var out []uint64
	for _, n := range s.logs {
		if n >= s.logNum || n == s.prevLog && n != 0 {
			out = append(out, n)
		}
	}
	return out
}
