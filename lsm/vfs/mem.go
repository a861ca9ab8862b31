package vfs

import (
	"errors"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A Mem is a file system in memory that is as forgetful as the rules allow: it
// knows which bytes and which directory entries were synced, and
// [Mem.CrashClone] takes the others away. Make one with [NewMem]. Safe for
// concurrent use.
type Mem struct {
	mu   sync.Mutex
	root *memNode
}

// A memNode is a file or a directory.
type memNode struct {
	dir bool

	// Files: the bytes now, and what is on disk for sure.
	data    []byte
	durable []byte
	// dirty holds the sectors whose durable bytes may be older than data;
	// unsent are those that the next Sync writes. They differ after a Sync that
	// failed: the kernel marks the pages clean, and no later Sync writes them.
	dirty, unsent map[int]struct{}
	cut           int // smallest size the file was truncated to since the last Sync; -1: none

	// Directories: the entries now, on disk for sure, and the changes between.
	entries   map[string]*memNode
	onDisk    map[string]*memNode
	pending   []change
	locked    map[string]bool
	lastGroup int
}

// A change is one unsynced change of a directory entry. Changes of a group
// survive a crash in order: a name is not renamed before it was made.
type change struct {
	name  string
	node  *memNode // nil: removed
	group int
}

// memSector is the unit in which unsynced bytes are tracked.
const memSector = 512

// NewMem returns an empty file system.
func NewMem() *Mem { return &Mem{root: newMemDir()} }

func newMemDir() *memNode {
	return &memNode{dir: true, entries: map[string]*memNode{}, onDisk: map[string]*memNode{}, locked: map[string]bool{}}
}

func newMemFile() *memNode {
	return &memNode{dirty: map[int]struct{}{}, unsent: map[int]struct{}{}, cut: -1}
}

// OpenDir opens the directory at the slash-separated path. Directories that it
// makes are durable at once, as [OS] syncs their parents.
func (m *Mem) OpenDir(p string, create bool) (Dir, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.root
	for _, part := range strings.Split(path.Clean("/"+p), "/")[1:] {
		if part == "" {
			continue
		}
		next := n.entries[part]
		switch {
		case next == nil && create:
			next = newMemDir()
			n.entries[part], n.onDisk[part] = next, next
		case next == nil:
			return nil, &fs.PathError{Op: "open", Path: p, Err: fs.ErrNotExist}
		case !next.dir:
			return nil, &fs.PathError{Op: "open", Path: p, Err: syscall.ENOTDIR}
		}
		n = next
	}
	return &memDir{fs: m, node: n, path: p}, nil
}

// A memDir is an open directory of a Mem.
type memDir struct {
	fs   *Mem
	node *memNode
	path string
}

func (d *memDir) Path() string { return d.path }

func (d *memDir) Close() error { return nil }

// find returns the directory that name's last element is in, and that element.
// The lock is held.
func (d *memDir) find(op, name string) (*memNode, string, error) {
	if err := checkName(op, name); err != nil {
		return nil, "", err
	}
	n := d.node
	for {
		first, rest, more := strings.Cut(name, "/")
		if !more {
			return n, first, nil
		}
		next := n.entries[first]
		if next == nil || !next.dir {
			return nil, "", &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
		}
		n, name = next, rest
	}
}

// file returns the file called name.
func (d *memDir) file(op, name string) (*memNode, error) {
	dir, base, err := d.find(op, name)
	if err != nil {
		return nil, err
	}
	n := dir.entries[base]
	switch {
	case n == nil:
		return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
	case n.dir:
		return nil, &fs.PathError{Op: op, Path: name, Err: syscall.EISDIR}
	}
	return n, nil
}

func (d *memDir) Open(name string) (File, error) {
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	n, err := d.file("open", name)
	if err != nil {
		return nil, err
	}
	return &memFile{fs: d.fs, node: n, name: name}, nil
}

func (d *memDir) Append(name string) (File, error) {
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	n, err := d.file("append", name)
	if err != nil {
		return nil, err
	}
	return &memFile{fs: d.fs, node: n, name: name, write: true}, nil
}

func (d *memDir) Create(name string) (File, error) {
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	n, err := d.file("create", name)
	if errors.Is(err, fs.ErrNotExist) {
		var dir *memNode
		var base string
		if dir, base, err = d.find("create", name); err != nil {
			return nil, err
		}
		n = newMemFile()
		dir.set(base, n, dir.newGroup())
	}
	if err != nil {
		return nil, err
	}
	n.truncate(0)
	return &memFile{fs: d.fs, node: n, name: name, write: true}, nil
}

// set notes that name now means n; nil removes it.
func (n *memNode) set(name string, to *memNode, group int) {
	if to == nil {
		delete(n.entries, name)
	} else {
		n.entries[name] = to
	}
	n.pending = append(n.pending, change{name, to, group})
}

func (n *memNode) newGroup() int {
	n.lastGroup++
	return n.lastGroup
}

func (d *memDir) Rename(from, to string) error {
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	dst, base, err := d.find("rename", to)
	if err != nil {
		return err
	}
	n, err := d.file("rename", from)
	if err != nil {
		return err
	}
	src, old, err := d.find("rename", from)
	if err != nil {
		return err
	}
	if t := dst.entries[base]; t != nil && t.dir {
		return &fs.PathError{Op: "rename", Path: to, Err: syscall.EISDIR}
	}
	if n == dst.entries[base] {
		return nil
	}
	g := dst.newGroup()
	dst.set(base, n, g)
	if src != dst {
		g = src.newGroup()
	}
	src.set(old, nil, g)
	return nil
}

func (d *memDir) Remove(name string) error {
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	dir, base, err := d.find("remove", name)
	if err != nil {
		return err
	}
	n := dir.entries[base]
	switch {
	case n == nil:
		return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrNotExist}
	case n.dir && len(n.entries) > 0:
		return &fs.PathError{Op: "remove", Path: name, Err: syscall.ENOTEMPTY}
	}
	dir.set(base, nil, dir.newGroup())
	return nil
}

func (d *memDir) Link(name string, to Dir, toName string) error {
	dst, ok := to.(*memDir)
	if !ok || dst.fs != d.fs {
		return &fs.PathError{Op: "link", Path: toName, Err: errors.ErrUnsupported}
	}
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	n, err := d.file("link", name)
	if err != nil {
		return err
	}
	dir, base, err := dst.find("link", toName)
	if err != nil {
		return err
	}
	if dir.entries[base] != nil {
		return &fs.PathError{Op: "link", Path: toName, Err: fs.ErrExist}
	}
	dir.set(base, n, dir.newGroup())
	return nil
}

func (d *memDir) Mkdir(name string) error {
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	dir, base, err := d.find("mkdir", name)
	if err != nil {
		return err
	}
	switch n := dir.entries[base]; {
	case n == nil:
		dir.set(base, newMemDir(), dir.newGroup())
	case !n.dir:
		return &fs.PathError{Op: "mkdir", Path: name, Err: fs.ErrExist}
	}
	return nil
}

func (d *memDir) List() ([]string, error) {
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	names := make([]string, 0, len(d.node.entries))
	for name := range d.node.entries {
		names = append(names, name)
	}
	slices.Sort(names)
	return names, nil
}

func (d *memDir) Stat(name string) (Info, error) {
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	dir, base, err := d.find("stat", name)
	if err != nil {
		return Info{}, err
	}
	n := dir.entries[base]
	if n == nil {
		return Info{}, &fs.PathError{Op: "stat", Path: name, Err: fs.ErrNotExist}
	}
	return Info{Name: name, Size: int64(len(n.data)), Dir: n.dir, ModTime: time.Unix(0, 0)}, nil
}

func (d *memDir) Sync() error {
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	n := d.node
	clear(n.onDisk)
	for name, e := range n.entries {
		n.onDisk[name] = e
	}
	n.pending = nil
	return nil
}

func (d *memDir) Lock(name string) (io.Closer, error) {
	f, err := d.Append(name)
	if errors.Is(err, fs.ErrNotExist) {
		f, err = d.Create(name)
	}
	if err != nil {
		return nil, err
	}
	_ = f.Close() // of a memFile: cannot fail
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	if d.node.locked[name] {
		return nil, &LockError{Path: path.Join(d.path, name)}
	}
	d.node.locked[name] = true
	return &memLock{d: d, name: name}, nil
}

type memLock struct {
	d    *memDir
	name string
}

func (l *memLock) Close() error {
	l.d.fs.mu.Lock()
	defer l.d.fs.mu.Unlock()
	delete(l.d.node.locked, l.name)
	return nil
}
