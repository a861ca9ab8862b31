package vfs

import (
	"io"
	"strconv"
	"sync/atomic"
)

// An Op is a kind of call that an [Injector] can make fail.
type Op uint8

// The calls.
const (
	OpOpenDir Op = iota + 1
	OpOpen
	OpCreate
	OpAppend
	OpRename
	OpRemove
	OpLink
	OpMkdir
	OpList
	OpStat
	OpSyncDir
	OpLock
	OpRead
	OpWrite
	OpSync
	OpTruncate
	OpSize
	OpMap
	OpClose
)

// String names o.
func (o Op) String() string {
	names := [...]string{"", "opendir", "open", "create", "append", "rename", "remove", "link", "mkdir",
		"list", "stat", "syncdir", "lock", "read", "write", "sync", "truncate", "size", "map", "close"}
	if int(o) < len(names) {
		return names[o]
	}
	return "op " + strconv.Itoa(int(o))
}

// A Call is one call that an Injector sees.
type Call struct {
	N    int64  // counts from 1 over the whole file system
	Op   Op     // what is called
	Name string // the file, relative to its directory; the path for OpOpenDir
	Size int    // bytes to read or write
}

// A Fault says how a call fails.
type Fault struct {
	// Err is what the call returns, bare.
	Err error

	// Short makes a write put this many bytes into the file first, if that is
	// fewer than it has.
	Short int

	// Done makes the call happen all the same and only report Err, as a close
	// that fails does.
	Done bool
}

// An Injector is a file system on top of another one, whose calls fail on
// demand. Safe for concurrent use.
//
// A Sync that it fails has the effect of a failed fsync: on a [Mem] the bytes are
// in the file but no later Sync writes them.
type Injector struct {
	fs     FS
	calls  atomic.Int64
	decide atomic.Pointer[func(Call) *Fault]
}

// NewInjector returns an Injector over fs that lets every call through.
func NewInjector(fs FS) *Injector { return &Injector{fs: fs} }

// Decide sets what is asked about each call from now on: nil lets it through.
// decide may be called by several goroutines at once; nil stops asking.
func (in *Injector) Decide(decide func(Call) *Fault) {
	if decide == nil {
		in.decide.Store(nil)
		return
	}
	in.decide.Store(&decide)
}

// Calls returns how many calls there were.
func (in *Injector) Calls() int64 { return in.calls.Load() }

// FailAt returns a decision that fails the n-th call from the file system's
// start with err, once.
func FailAt(n int64, err error) func(Call) *Fault {
	return func(c Call) *Fault {
		if c.N == n {
			return &Fault{Err: err}
		}
		return nil
	}
}

// FailFrom returns a decision that fails the n-th call and all behind it, as if
// the machine had stopped there.
func FailFrom(n int64, err error) func(Call) *Fault {
	return func(c Call) *Fault {
		if c.N >= n {
			return &Fault{Err: err}
		}
		return nil
	}
}

// FailNthOp returns a decision that fails the n-th call, counting from 1, of
// one kind with err, once.
func FailNthOp(op Op, n int64, err error) func(Call) *Fault {
	var seen atomic.Int64
	return func(c Call) *Fault {
		if c.Op == op && seen.Add(1) == n {
			return &Fault{Err: err}
		}
		return nil
	}
}

// ask counts a call and returns its fault, if any.
func (in *Injector) ask(op Op, name string, size int) *Fault {
	n := in.calls.Add(1)
	if decide := in.decide.Load(); decide != nil {
		return (*decide)(Call{N: n, Op: op, Name: name, Size: size})
	}
	return nil
}

// run makes a call unless it is to fail.
func (in *Injector) run(op Op, name string, call func() error) error {
	f := in.ask(op, name, 0)
	if f == nil {
		return call()
	}
	if f.Done {
		_ = call() // what it would have said gives way to the fault
	}
	return f.Err
}

// OpenDir opens a directory of the file system below.
func (in *Injector) OpenDir(path string, create bool) (Dir, error) {
	var d Dir
	err := in.run(OpOpenDir, path, func() (err error) {
		d, err = in.fs.OpenDir(path, create)
		return err
	})
	if err != nil {
		if d != nil {
			_ = d.Close() // the fault is what counts
		}
		return nil, err
	}
	return &faultDir{in: in, d: d}, nil
}

// A faultDir is a directory of an Injector.
type faultDir struct {
	in *Injector
	d  Dir
}

func (d *faultDir) Path() string { return d.d.Path() }

func (d *faultDir) open(op Op, name string, open func(string) (File, error)) (File, error) {
	var f File
	err := d.in.run(op, name, func() (err error) {
		f, err = open(name)
		return err
	})
	if err != nil {
		if f != nil {
			_ = f.Close() // the fault is what counts
		}
		return nil, err
	}
	w := &faultFile{in: d.in, f: f, name: name}
	if m, ok := f.(Mapper); ok {
		return &faultMapper{faultFile: w, m: m}, nil
	}
	return w, nil
}

func (d *faultDir) Open(name string) (File, error)   { return d.open(OpOpen, name, d.d.Open) }
func (d *faultDir) Create(name string) (File, error) { return d.open(OpCreate, name, d.d.Create) }
func (d *faultDir) Append(name string) (File, error) { return d.open(OpAppend, name, d.d.Append) }

func (d *faultDir) Rename(from, to string) error {
	return d.in.run(OpRename, from, func() error { return d.d.Rename(from, to) })
}

func (d *faultDir) Remove(name string) error {
	return d.in.run(OpRemove, name, func() error { return d.d.Remove(name) })
}

func (d *faultDir) Link(name string, to Dir, toName string) error {
	if t, ok := to.(*faultDir); ok {
		to = t.d
	}
	return d.in.run(OpLink, name, func() error { return d.d.Link(name, to, toName) })
}

func (d *faultDir) Mkdir(name string) error {
	return d.in.run(OpMkdir, name, func() error { return d.d.Mkdir(name) })
}

func (d *faultDir) List() (names []string, err error) {
	err = d.in.run(OpList, "", func() error { names, err = d.d.List(); return err })
	return names, err
}

func (d *faultDir) Stat(name string) (info Info, err error) {
	err = d.in.run(OpStat, name, func() error { info, err = d.d.Stat(name); return err })
	return info, err
}

func (d *faultDir) Sync() error { return d.in.run(OpSyncDir, "", d.d.Sync) }

func (d *faultDir) Lock(name string) (io.Closer, error) {
	var c io.Closer
	err := d.in.run(OpLock, name, func() (err error) { c, err = d.d.Lock(name); return err })
	if err != nil {
		if c != nil {
			_ = c.Close() // the fault is what counts
		}
		return nil, err
	}
	return c, nil
}

func (d *faultDir) Close() error { return d.d.Close() }

// A faultFile is a file of an Injector.
type faultFile struct {
	in   *Injector
	f    File
	name string
}

func (f *faultFile) ReadAt(p []byte, off int64) (int, error) {
	if fault := f.in.ask(OpRead, f.name, len(p)); fault != nil {
		return 0, fault.Err
	}
	return f.f.ReadAt(p, off)
}

func (f *faultFile) Write(p []byte) (int, error) {
	fault := f.in.ask(OpWrite, f.name, len(p))
	if fault == nil {
		return f.f.Write(p)
	}
	n := min(fault.Short, len(p))
	if fault.Done {
		n = len(p)
	}
	if n > 0 {
		var err error
		if n, err = f.f.Write(p[:n]); err != nil {
			return n, err
		}
	}
	return n, fault.Err
}

func (f *faultFile) Sync() error {
	fault := f.in.ask(OpSync, f.name, 0)
	if fault == nil {
		return f.f.Sync()
	}
	switch m, ok := f.f.(interface{ failSync() }); {
	case fault.Done:
		_ = f.f.Sync() // the fault is what counts
	case ok:
		m.failSync()
	}
	return fault.Err
}

func (f *faultFile) Truncate(size int64) error {
	return f.in.run(OpTruncate, f.name, func() error { return f.f.Truncate(size) })
}

func (f *faultFile) Size() (n int64, err error) {
	err = f.in.run(OpSize, f.name, func() error { n, err = f.f.Size(); return err })
	return n, err
}

// Close closes the file below even when it fails, as close(2) does.
func (f *faultFile) Close() error {
	fault := f.in.ask(OpClose, f.name, 0)
	err := f.f.Close()
	if fault != nil {
		return fault.Err
	}
	return err
}

// A faultMapper is a faultFile that can be mapped.
type faultMapper struct {
	*faultFile
	m Mapper
}

func (f *faultMapper) Map(size int) (b []byte, unmap func() error, err error) {
	err = f.in.run(OpMap, f.name, func() error { b, unmap, err = f.m.Map(size); return err })
	return b, unmap, err
}
