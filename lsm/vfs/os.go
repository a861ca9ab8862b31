package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// OS returns the real file system.
func OS() FS { return osFS{} }

type osFS struct{}

// OpenDir opens path as an [os.Root].
func (osFS) OpenDir(path string, create bool) (Dir, error) {
	if create {
		if err := makeDirs(path); err != nil {
			return nil, err
		}
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	return &osDir{path: path, root: root}, nil
}

// makeDirs makes path and its parents, and syncs the parent of each directory
// it had to make.
func makeDirs(path string) error {
	var made []string
	for p := filepath.Clean(path); ; p = filepath.Dir(p) {
		_, err := os.Stat(p)
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		made = append(made, p)
		if p == filepath.Dir(p) {
			break
		}
	}
	if err := os.MkdirAll(path, 0o755); err != nil {
		return err
	}
	for _, p := range made {
		if err := syncPath(filepath.Dir(p)); err != nil {
			return err
		}
	}
	return nil
}

func syncPath(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(syncDirFile(d), d.Close())
}

// An osDir is a directory of the real file system.
type osDir struct {
	path string
	root *os.Root
}

func (d *osDir) Path() string { return d.path }

func (d *osDir) Open(name string) (File, error) {
	return d.open("open", name, os.O_RDONLY)
}

func (d *osDir) Create(name string) (File, error) {
	return d.open("create", name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|os.O_APPEND)
}

func (d *osDir) Append(name string) (File, error) {
	return d.open("append", name, os.O_WRONLY|os.O_APPEND)
}

func (d *osDir) open(op, name string, flag int) (File, error) {
	if err := checkName(op, name); err != nil {
		return nil, err
	}
	f, err := d.root.OpenFile(name, flag, 0o644)
	if err != nil {
		return nil, err
	}
	return &osFile{File: f}, nil
}

func (d *osDir) Rename(from, to string) error {
	if err := errors.Join(checkName("rename", from), checkName("rename", to)); err != nil {
		return err
	}
	return d.root.Rename(from, to)
}

func (d *osDir) Remove(name string) error {
	if err := checkName("remove", name); err != nil {
		return err
	}
	return d.root.Remove(name)
}

func (d *osDir) Link(name string, to Dir, toName string) error {
	if err := errors.Join(checkName("link", name), checkName("link", toName)); err != nil {
		return err
	}
	dst, ok := to.(*osDir)
	if !ok {
		return &os.LinkError{Op: "link", Old: name, New: toName, Err: errors.ErrUnsupported}
	}
	return linkBetween(d, name, dst, toName)
}

// cannotLink makes err wrap [errors.ErrUnsupported] if it is one of those with which
// a system says that it does not link these two files, though both are in order.
func cannotLink(err error, says ...error) error {
	for _, s := range says {
		if errors.Is(err, s) {
			return fmt.Errorf("%w: %w", errors.ErrUnsupported, err)
		}
	}
	return err
}

func (d *osDir) Mkdir(name string) error {
	if err := checkName("mkdir", name); err != nil {
		return err
	}
	err := d.root.Mkdir(name, 0o755)
	if errors.Is(err, fs.ErrExist) {
		if fi, serr := d.root.Stat(name); serr == nil && fi.IsDir() {
			return nil
		}
	}
	return err
}

func (d *osDir) List() ([]string, error) {
	f, err := d.root.Open(".")
	if err != nil {
		return nil, err
	}
	names, err := f.Readdirnames(-1)
	slices.Sort(names)
	return names, errors.Join(err, f.Close())
}

func (d *osDir) Stat(name string) (Info, error) {
	if err := checkName("stat", name); err != nil {
		return Info{}, err
	}
	fi, err := d.root.Stat(name)
	if err != nil {
		return Info{}, err
	}
	return Info{Name: name, Size: fi.Size(), Dir: fi.IsDir(), ModTime: fi.ModTime()}, nil
}

func (d *osDir) Sync() error {
	f, err := d.root.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(syncDirFile(f), f.Close())
}

func (d *osDir) Lock(name string) (io.Closer, error) {
	if err := checkName("lock", name); err != nil {
		return nil, err
	}
	f, err := d.root.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	if err := lockFile(f); err != nil {
		if errors.Is(err, errWouldBlock) {
			err = &LockError{Path: filepath.Join(d.path, name), PID: readHolder(f)}
		}
		return nil, errors.Join(err, f.Close())
	}
	writeHolder(f, os.Getpid())
	return f, nil
}

func (d *osDir) Close() error { return d.root.Close() }

// An osFile is a file of the real file system.
type osFile struct {
	*os.File
}

// Size returns the length in bytes.
func (f *osFile) Size() (int64, error) {
	fi, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return fi.Size(), nil
}
