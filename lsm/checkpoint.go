package lsm

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/memlab-go/memlab/lsm/internal/filename"
	"github.com/memlab-go/memlab/lsm/internal/record"
	"github.com/memlab-go/memlab/lsm/vfs"
)

// Checkpoint makes dir, which must not exist or be empty, a store of its own with
// what this one holds now. Tables become hard links where the system can link,
// copies otherwise, so a checkpoint on the same file system costs no more than a
// flush. Reads and writes go on meanwhile. When it returns without an error the
// checkpoint is durable; after an error dir is empty again, as far as files in it
// can be removed.
func (d *DB) Checkpoint(dir string) error {
	if err := d.Flush(); err != nil {
		return fmt.Errorf("lsm: checkpoint: %w", err)
	}
	rs, err := d.acquire()
	if err != nil {
		return err
	}
	defer rs.unref()
	to, err := d.opts.FS.OpenDir(dir, true)
	if err != nil {
		return fmt.Errorf("lsm: checkpoint: %w", err)
	}
	err = d.checkpointTo(to, rs.version)
	if err = joinClose(err, to); err != nil {
		return fmt.Errorf("lsm: checkpoint %s: %w", dir, err)
	}
	return nil
}

func (d *DB) checkpointTo(to vfs.Dir, v *version) error {
	names, err := to.List()
	if err != nil {
		return err
	}
	if len(names) > 0 {
		return fmt.Errorf("directory is not empty: %w", fs.ErrExist)
	}
	if err := d.fillCheckpoint(to, v); err != nil {
		return errors.Join(err, clearCheckpoint(to))
	}
	return nil
}

// clearCheckpoint removes what a checkpoint that failed has made in a directory that
// was empty, CURRENT first: what is left then is no store.
func clearCheckpoint(to vfs.Dir) error {
	names, err := to.List()
	if err != nil {
		return err
	}
	var errs []error
	remove := func(name string) {
		if slices.Contains(names, name) {
			errs = append(errs, to.Remove(name))
		}
	}
	remove(filename.CurrentName)
	for _, name := range names {
		if kind, _ := filename.Parse(name); kind == filename.Manifest || kind == filename.Table || kind == filename.Temp {
			remove(name)
		}
	}
	return errors.Join(errs...)
}

// fillCheckpoint makes an empty directory a store that holds v.
func (d *DB) fillCheckpoint(to vfs.Dir, v *version) error {
	next := uint64(firstManifest + 1)
	var last SeqNum
	for _, files := range v.levels {
		for _, f := range files {
			if err := linkOrCopy(d.dir, to, f.name()); err != nil {
				return err
			}
			next = max(next, f.num+1)
		}
	}
	last = SeqNum(d.visible.Load())
	e := d.versionEdit(v)
	e.LogNum, e.NextFile, e.LastSeq, e.PrevLog = new(uint64), &next, &last, new(uint64)
	f, err := to.Create(filename.MakeManifest(firstManifest))
	if err != nil {
		return err
	}
	m := &manifestWriter{num: firstManifest, f: f, rec: record.NewWriter(f, nil, 0)}
	if err := joinClose(m.append(e), f); err != nil {
		return err
	}
	if err := to.Sync(); err != nil {
		return err
	}
	return setCurrent(to, firstManifest)
}

// linkOrCopy gives a file a second name, or makes a durable copy.
func linkOrCopy(from, to vfs.Dir, name string) error {
	err := from.Link(name, to, name)
	if !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	src, err := from.Open(name)
	if err != nil {
		return err
	}
	dst, err := to.Create(name)
	if err != nil {
		return joinClose(err, src)
	}
	err = copyFile(dst, src)
	if err == nil {
		err = dst.Sync()
	}
	return errors.Join(err, dst.Close(), src.Close())
}

// copyFile copies all of src to the end of dst.
func copyFile(dst, src vfs.File) error {
	size, err := src.Size()
	if err != nil {
		return err
	}
	buf := make([]byte, 256<<10)
	for off := int64(0); off < size; {
		n := min(int64(len(buf)), size-off)
		if k, err := src.ReadAt(buf[:n], off); int64(k) < n {
			return fmt.Errorf("copy at %#x: %w", off, err)
		}
		if _, err := dst.Write(buf[:n]); err != nil {
			return err
		}
		off += n
	}
	return nil
}
