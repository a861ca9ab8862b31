package cli

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// WriteFile creates or replaces the file name with what write produces. The
// bytes go to a temporary file in the same directory, which is synced and then
// renamed, so that a reader sees the old file or the whole new one. On any
// error the temporary file is removed and name is left as it was.
//
// A file that is replaced keeps its permissions; a new one has those that the
// process gives to new files. A symbolic link is followed. A device or a pipe
// cannot be replaced: the bytes go straight into it.
func WriteFile(name string, write func(io.Writer) error) error {
	t, err := findTarget(name)
	if err != nil {
		return err
	}
	if t.direct {
		f, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		return errors.Join(fill(f, write), f.Close())
	}
	return t.replace(name, write)
}

// CheckFile says what [WriteFile] would fail of before it writes: a name that
// is a directory, or a place where no file can be made. It is for commands that
// work for long before they write.
func CheckFile(name string) error {
	t, err := findTarget(name)
	if err != nil || t.direct {
		return err
	}
	f, err := t.create(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// A target is where the bytes for a name go.
type target struct {
	path   string      // the name behind all symbolic links
	old    fs.FileInfo // of the file there, nil if there is none
	direct bool        // it is neither a file nor a directory
}

// maxLinks is how many symbolic links are followed, as many as Linux does.
const maxLinks = 40

// findTarget finds out what name is.
func findTarget(name string) (target, error) {
	if name == "-" {
		return target{}, errors.New("- is no name of a file (./- is)")
	}
	switch fi, err := os.Stat(name); {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return target{}, err
	case err == nil && fi.IsDir():
		return target{}, fmt.Errorf("%s: is a directory", name)
	case err == nil && !fi.Mode().IsRegular():
		return target{direct: true}, nil
	case err == nil && isStdout(fi):
		return target{}, fmt.Errorf("%s: is standard output, where the rest goes", name)
	}
	path := name // a file, or nothing yet, perhaps behind links
	for range maxLinks {
		fi, err := os.Lstat(path)
		if errors.Is(err, fs.ErrNotExist) {
			return target{path: path}, nil
		}
		if err != nil {
			return target{}, err
		}
		if fi.Mode()&fs.ModeSymlink == 0 {
			return target{path: path, old: fi}, nil
		}
		to, err := os.Readlink(path)
		if err != nil {
			return target{}, err
		}
		if !filepath.IsAbs(to) {
			dir, _ := filepath.Split(path)
			to = dir + to // not cleaned: dir/.. is not always where it seems
		}
		path = to
	}
	return target{}, fmt.Errorf("%s: too many symbolic links", name)
}

// isStdout reports whether fi is the file that standard output goes to: what is
// written there after it was replaced would be lost.
func isStdout(fi fs.FileInfo) bool {
	out, err := os.Stdout.Stat()
	return err == nil && os.SameFile(fi, out)
}

// replace writes a file beside the target and renames it. Errors of making it
// are of name, which was asked for.
func (t *target) replace(name string, write func(io.Writer) error) error {
	f, err := t.create(name)
	if err != nil {
		return err
	}
	err = fill(f, write)
	if err == nil && t.old != nil {
		err = f.Chmod(t.old.Mode().Perm())
	}
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(f.Name(), t.path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

// create makes the temporary file beside the target.
func (t *target) create(name string) (*os.File, error) {
	dir, base := filepath.Split(t.path)
	for i := 0; ; i++ {
		f, err := os.OpenFile(fmt.Sprintf("%s.%s.%d-%d.tmp", dir, base, os.Getpid(), i), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
		if errors.Is(err, fs.ErrExist) && i < 1000 {
			continue
		}
		if pe, ok := errors.AsType[*fs.PathError](err); ok {
			return nil, &fs.PathError{Op: "create", Path: name, Err: pe.Err}
		}
		return f, err
	}
}

// fill writes to f with a buffer.
func fill(f *os.File, write func(io.Writer) error) error {
	w := bufio.NewWriterSize(f, 1<<16)
	if err := write(w); err != nil {
		return err
	}
	return w.Flush()
}

// WriteJSON writes v as indented JSON with a final newline. Text is not
// escaped for HTML, so that names read as they are.
func WriteJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
