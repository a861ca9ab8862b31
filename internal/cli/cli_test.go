package cli

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestWriteFileReplacesWhole(t *testing.T) {
	name := filepath.Join(t.TempDir(), "out.txt")
	require.NoError(t, os.WriteFile(name, []byte("old"), 0o600))
	require.NoError(t, WriteFile(name, func(w io.Writer) error {
		_, err := io.WriteString(w, "new")
		return err
	}))
	got, err := os.ReadFile(name)
	require.NoError(t, err)
	require.Equal(t, "new", string(got))
}

func TestWriteFileKeepsOldOnError(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "out.txt")
	require.NoError(t, os.WriteFile(name, []byte("old"), 0o600))
	boom := errors.New("boom")
	err := WriteFile(name, func(w io.Writer) error {
		io.WriteString(w, strings.Repeat("half", 1<<16))
		return boom
	})
	require.ErrorIs(t, err, boom)
	got, err := os.ReadFile(name)
	require.NoError(t, err)
	require.Equal(t, "old", string(got))
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, left, 1, "the temporary file was left behind")
}

func TestWriteFileNamesMissingDirectory(t *testing.T) {
	err := WriteFile(filepath.Join(t.TempDir(), "none", "x"), func(io.Writer) error { return nil })
	require.ErrorContains(t, err, "none")
}

func TestParseExitCodes(t *testing.T) {
	for _, c := range []struct {
		args []string
		code int
		ok   bool
	}{
		{[]string{"-n", "3"}, 0, true},
		{[]string{"-h"}, 0, false},
		{[]string{"-n", "x"}, 2, false},
		{[]string{"-nosuch"}, 2, false},
	} {
		var out bytes.Buffer
		fs := Flags(&out, "demo", "FILE", "Does nothing.", "memlab demo x")
		fs.Int("n", 1, "a number")
		code, ok := Parse(fs, c.args)
		if code != c.code || ok != c.ok {
			t.Errorf("Parse(%v) = %d, %v, want %d, %v", c.args, code, ok, c.code, c.ok)
		}
		if !ok {
			require.Contains(t, out.String(), "Example:\n  memlab demo x")
		}
	}
}

func TestProgress(t *testing.T) {
	var out bytes.Buffer
	clock := time.Unix(0, 0)
	p := NewProgress(&out, true, func() time.Time { return clock })
	clock = clock.Add(2 * time.Second)
	p.Step(1, 4, "git × first fit")
	require.Equal(t, "\r[#####...............]  25%  2s, 6s left  git × first fit", out.String())
	p.Step(2, 4, "dropped: too soon")
	require.NotContains(t, out.String(), "dropped")
	out.Reset()
	p.Done()
	require.Regexp(t, `^\r +\r$`, out.String())

	out.Reset()
	none := NewProgress(&out, false, func() time.Time { return clock })
	none.Step(1, 2, "x")
	none.Done()
	require.Empty(t, out.String())
}

func TestTable(t *testing.T) {
	tab := Table{Head: []string{"name", "n", "ratio"}}
	tab.Add("a", 12, 0.5)
	tab.Add("longer", 3, 12.345)
	var out bytes.Buffer
	_, err := tab.WriteTo(&out)
	require.NoError(t, err)
	require.Equal(t, "name     n  ratio\n─────────────────\na       12   0.50\nlonger   3  12.35\n", out.String())
}

func TestBytesAndCount(t *testing.T) {
	require.Equal(t, "312 B", Bytes(312))
	require.Equal(t, "4.0 KiB", Bytes(4096))
	require.Equal(t, "7.84 MiB", Bytes(8218732))
	require.Equal(t, "2.00 GiB", Bytes(2<<30))
	require.Equal(t, "938 635", Count(938635))
	require.Equal(t, "-1 000", Count(-1000))
	require.Equal(t, "7", Count(7))
}

func TestList(t *testing.T) {
	require.Equal(t, []string{"a", "b"}, List(" a,,b ,"))
	require.Empty(t, List(""))
}

func TestReadJSON(t *testing.T) {
	var got []int
	require.NoError(t, ReadJSON(strings.NewReader(" [1, 2] \n\t"), &got))
	require.Equal(t, []int{1, 2}, got)
	require.ErrorContains(t, ReadJSON(strings.NewReader("[1] [2]"), &got), "offset 5: more after the end")
	require.ErrorContains(t, ReadJSON(strings.NewReader("[1] x"), &got), "more after the end")
	require.ErrorIs(t, ReadJSON(strings.NewReader("[1"), &got), io.ErrUnexpectedEOF)
	require.ErrorIs(t, ReadJSON(strings.NewReader(""), &got), io.EOF)
}

func TestWriteFileNamesWhatWasAsked(t *testing.T) {
	name := filepath.Join(t.TempDir(), "missing", "out.txt")
	err := WriteFile(name, func(io.Writer) error { return nil })
	require.ErrorIs(t, err, os.ErrNotExist)
	require.ErrorContains(t, err, "create "+name+":")
}
