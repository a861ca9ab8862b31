package lsm

import (
	"errors"
	"fmt"
	"io"

	"github.com/memlab-go/memlab/lsm/internal/filename"
	"github.com/memlab-go/memlab/lsm/internal/keys"
	"github.com/memlab-go/memlab/lsm/internal/manifest"
	"github.com/memlab-go/memlab/lsm/internal/record"
	"github.com/memlab-go/memlab/lsm/vfs"
)

// maxManifest is the size from which a MANIFEST is replaced by a fresh one, unless
// the fresh one would be more than half as long.
const maxManifest = 4 << 20

// A manifestWriter is the live MANIFEST. DB.manifestMu guards it.
type manifestWriter struct {
	num   uint64
	f     vfs.File
	rec   *record.Writer
	first int64 // bytes of the edit with which it began; 0: not known
}

// full reports whether the MANIFEST is to be replaced.
func (m *manifestWriter) full() bool { return m.rec.Size() > max(maxManifest, 2*m.first) }

// joinClose closes c after err, and returns both errors.
func joinClose(err error, c io.Closer) error { return errors.Join(err, c.Close()) }

// append writes an edit and makes it durable. When the write fails and the file
// could be cut back, the error is a plain one and the MANIFEST as before; in all
// other cases, a failed fsync above all, it wraps errUnknownState.
func (m *manifestWriter) append(e *manifest.Edit) error {
	size := m.rec.Size()
	err := m.rec.Append(e.Encode(nil))
	if err == nil {
		err = m.rec.Flush()
	}
	if err != nil {
		if terr := m.f.Truncate(size); terr != nil {
			return errors.Join(errUnknownState, err, terr)
		}
		return errors.Join(err, m.rec.Rewind(size))
	}
	if err := m.f.Sync(); err != nil {
		return errors.Join(errUnknownState, err)
	}
	return nil
}

// errUnknownState says that what is on the disk cannot be known before the store
// is opened again.
var errUnknownState = errors.New("the state on disk is unknown")

// snapshotEdit describes a version from nothing, and how far compaction has come.
func (d *DB) snapshotEdit(v *version) *manifest.Edit {
	e := d.versionEdit(v)
	d.mu.Lock()
	defer d.mu.Unlock()
	for level := range d.compactPtr {
		if p := d.compactPtr[level]; p != nil {
			e.CompactPointers = append(e.CompactPointers, manifest.CompactPointer{Level: level, Key: p})
		}
	}
	return e
}

// versionEdit describes a version from nothing.
func (d *DB) versionEdit(v *version) *manifest.Edit {
	e := &manifest.Edit{Comparer: &d.opts.Comparer.Name}
	for level, files := range v.levels {
		for i := len(files) - 1; i >= 0; i-- { // oldest first, as they came
			e.Added = append(e.Added, files[i].meta(level))
		}
	}
	return e
}

func (f *fileMeta) meta(level int) manifest.TableMeta {
	return manifest.TableMeta{Level: level, Num: f.num, Size: f.size, Smallest: f.smallest, Largest: f.largest}
}

// stamp adds to an edit what every edit of ours says: the log number, the next
// file number and the last sequence.
//
// The last sequence is the one before the first of the oldest live log. LevelDB
// writes the current one, and goleveldb then skips what the log still holds of
// older ones; every reader is content with ours, since it raises the number by
// what it finds in the logs.
func (d *DB) stamp(e *manifest.Edit, logNum uint64, last keys.SeqNum) {
	next := d.nextFile.Load()
	e.LogNum, e.NextFile, e.LastSeq = &logNum, &next, &last
	e.PrevLog = new(uint64)
}

// newManifest writes v to a new MANIFEST and makes it the live one: file, sync,
// name, sync of the directory, CURRENT. d.manifestMu is held. On error the old
// one stays live, unless the error wraps errUnknownState.
func (d *DB) newManifest(v *version, logNum uint64, last keys.SeqNum) error {
	num := d.newFileNum()
	e := d.snapshotEdit(v)
	d.stamp(e, logNum, last)
	name := filename.MakeManifest(num)
	f, err := d.dir.Create(name)
	if err != nil {
		return err
	}
	m := &manifestWriter{num: num, f: f, rec: record.NewWriter(f, nil, 0)}
	if err := m.append(e); err != nil {
		return errors.Join(err, f.Close(), d.dir.Remove(name))
	}
	if err := d.dir.Sync(); err != nil {
		return errors.Join(errUnknownState, err, f.Close(), d.dir.Remove(name))
	}
	m.first = m.rec.Size()
	if err := setCurrent(d.dir, num); err != nil {
		err = errors.Join(err, f.Close())
		if !errors.Is(err, errUnknownState) {
			err = errors.Join(err, d.dir.Remove(name))
		}
		return err
	}
	if d.manifest != nil {
		err = d.manifest.f.Close()
		d.retireManifest(d.manifest.num)
	}
	d.manifest = m
	return err
}

// setCurrent makes CURRENT name a MANIFEST, in one step. Until it renames CURRENT is
// as before, and an error a plain one unless an fsync failed; from then on it wraps
// errUnknownState.
func setCurrent(dir vfs.Dir, num uint64) error {
	tmp := filename.MakeTemp(num)
	f, err := dir.Create(tmp)
	if err != nil {
		return err
	}
	_, err = io.WriteString(f, filename.MakeManifest(num)+"\n")
	if err == nil {
		if err = f.Sync(); err != nil {
			err = errors.Join(errUnknownState, err)
		}
	}
	if err = joinClose(err, f); err != nil {
		return errors.Join(err, dir.Remove(tmp))
	}
	if err := dir.Rename(tmp, filename.CurrentName); err != nil {
		return errors.Join(errUnknownState, err, dir.Remove(tmp))
	}
	if err := dir.Sync(); err != nil {
		return errors.Join(errUnknownState, err)
	}
	return nil
}

// logEdit makes an edit durable and installs the version that results. fresh are
// the files it adds; done, if not nil, runs with d.mu held just before the new
// version is published. On error nothing has changed; when what the MANIFEST holds
// is unknown the store latches.
func (d *DB) logEdit(e *manifest.Edit, fresh map[uint64]*fileMeta, done func()) error {
	d.manifestMu.Lock()
	defer d.manifestMu.Unlock()
	d.mu.Lock()
	base := d.version
	if e.LogNum == nil {
		d.stamp(e, d.liveLog, d.liveLogSeq-1)
	}
	d.mu.Unlock()
	v, err := base.apply(d.cmp, e, fresh)
	if err != nil {
		return d.latch(fmt.Errorf("lsm: version edit: %w", err))
	}
	if d.manifest.full() {
		err = d.newManifest(v, *e.LogNum, *e.LastSeq)
	} else {
		err = d.manifest.append(e)
	}
	if err != nil {
		v.discard()
		err = fmt.Errorf("lsm: write %s: %w", filename.MakeManifest(d.manifest.num), err)
		if errors.Is(err, errUnknownState) {
			return d.latch(err)
		}
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	old := d.version
	d.version = v
	d.counters.l0Files.Store(int64(len(v.levels[0])))
	if done != nil {
		done()
	}
	d.publish()
	old.unref()
	return nil
}
