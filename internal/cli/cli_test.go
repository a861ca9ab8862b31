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
		errs string
	}{
		{[]string{"-n", "3"}, 0, true, ""},
		{[]string{"-h"}, 0, false, ""},
		{[]string{"-n", "3", "--help"}, 0, false, ""},
		{[]string{"-n", "x"}, 2, false, "memlab demo: invalid value \"x\" for flag -n: parse error (see memlab demo -h)\n"},
		{[]string{"-nosuch"}, 2, false, "memlab demo: flag provided but not defined: -nosuch (see memlab demo -h)\n"},
	} {
		var out, errs bytes.Buffer
		fs := Flags(Stderr{&errs, &out}, "demo", "FILE", "Does nothing.", "memlab demo x")
		fs.Int("n", 1, "a number")
		code, ok := Parse(fs, c.args)
		if code != c.code || ok != c.ok {
			t.Errorf("Parse(%v) = %d, %v, want %d, %v", c.args, code, ok, c.code, c.ok)
		}
		require.Equal(t, c.errs, errs.String(), "%v", c.args)
		if !ok && code == 0 {
			require.Contains(t, out.String(), "Example:\n  memlab demo x")
			require.Contains(t, out.String(), "-n int")
		} else {
			require.Empty(t, out.String(), "%v", c.args)
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
	require.ErrorIs(t, ReadJSON(strings.NewReader("[1"), &got), io.ErrUnexpectedEOF)

	var cases []struct {
		Name  string
		Steps []struct{ Size uint }
		On    bool
		N     float64
	}
	for text, want := range map[string]string{
		"[] []":                         "column 4: more after the end of the JSON value",
		"[]\n\n x":                      "line 3, column 2: more after the end of the JSON value",
		"":                              "empty: want an array of cases",
		" \n":                           "empty: want an array of cases",
		"hello world, this is text":     `column 1: want an array of cases, got "hello world, this is"…`,
		"\n {\"Name\":1}":               `line 2, column 2: want an array of cases, got "{\"Name\":1}"`,
		"[\n  {]":                       "line 2, column 4: invalid character ']' looking for beginning of object key string",
		"[\n{\"Name\":\"a\"}\n":         "line 3, column 1: the text ends inside a JSON value: unexpected EOF",
		`[{"Name":7}]`:                  `column 10: field "Name": want a string, got a number`,
		`[{"Steps":{}}]`:                `field "Steps": want an array, got an object`,
		`[[]]`:                          `want an object, got an array`,
		`[{"Steps":[{"Size":1.5}]}]`:    `field "Steps.Size": want a whole number, not negative, got number 1.5`,
		`[{"On":"x"}]`:                  `field "On": want true or false, got a string`,
		`[{"N":true}]`:                  `field "N": want a number, got bool`,
		`[{"Name":"a","Steps":[true]}]`: `field "Steps": want an object, got bool`,
	} {
		require.ErrorContains(t, ReadJSON(strings.NewReader(text), &cases), want, text)
	}
}

func TestReadJSONLine(t *testing.T) {
	var got struct {
		K string `json:"k"`
	}
	require.NoError(t, ReadJSONLine([]byte(`{"k":"a"} `), &got))
	require.Equal(t, "a", got.K)
	for text, want := range map[string]string{
		`[]`:              "column 1: want an object, got an array",
		`{"k":"a","x":1}`: `unknown field "x"`,
		`{"k":"a"} {}`:    "more after the end",
		`{"k":`:           "column 6: the text ends inside a JSON value",
		`{"k":[]}`:        `field "k": want a string, got an array`,
	} {
		require.ErrorContains(t, ReadJSONLine([]byte(text), &got), want, text)
	}
}

func TestWriteFileNamesWhatWasAsked(t *testing.T) {
	name := filepath.Join(t.TempDir(), "missing", "out.txt")
	err := WriteFile(name, func(io.Writer) error { return nil })
	require.ErrorIs(t, err, os.ErrNotExist)
	require.ErrorContains(t, err, "create "+name+":")
}

func TestWriteFileRefuses(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	never := func(io.Writer) error { t.Error("written"); return nil }
	require.EqualError(t, WriteFile(dir, never), dir+": is a directory")
	require.EqualError(t, CheckFile(dir), dir+": is a directory")
	require.ErrorContains(t, WriteFile("-", never), "no name of a file")
	require.ErrorContains(t, CheckFile("-"), "no name of a file")
	require.ErrorIs(t, CheckFile(filepath.Join(dir, "missing", "x")), os.ErrNotExist)
	require.NoError(t, CheckFile("new"))
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left, "CheckFile leaves nothing")
}

// A file that takes standard output already is not replaced.
func TestWriteFileSparesStandardOutput(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "out"))
	require.NoError(t, err)
	defer func(old *os.File) { os.Stdout = old; f.Close() }(os.Stdout)
	os.Stdout = f
	require.EqualError(t, CheckFile(f.Name()), f.Name()+": is standard output, where the rest goes")
	require.Error(t, WriteFile(f.Name(), func(io.Writer) error { t.Error("written"); return nil }))
}
