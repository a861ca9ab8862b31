package keys

import (
	"bytes"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestLayout(t *testing.T) {
	k := Make([]byte("foo"), 0x0102030405, KindSet)
	require.Equal(t, "foo\x01\x05\x04\x03\x02\x01\x00\x00", string(k))
	require.Equal(t, "foo", string(User(k)))
	require.Equal(t, 3, cap(User(k)))
	require.EqualValues(t, uint64(0x0102030405), SeqOf(k))
	require.Equal(t, KindSet, KindOf(k))
	require.Equal(t, `"foo"#4328719365,SET`, Format(k))
	require.True(t, Valid(k))
	require.False(t, Valid(k[:7]))
	require.False(t, Valid(Make(nil, 1, KindSeek)))
	require.Contains(t, Format([]byte("ab")), "bad internal key 6162")
}

// TestOrder holds LevelDB's order: user keys ascending, newest first.
func TestOrder(t *testing.T) {
	want := [][]byte{
		Make(nil, 1, KindSet),
		Make([]byte("a"), 9, KindSet), Make([]byte("a"), 9, KindDelete), Make([]byte("a"), 2, KindSet),
		Make([]byte("a\x00"), 1, KindSet), Make([]byte("b"), MaxSeqNum, KindSeek), Make([]byte("b"), MaxSeqNum, KindSet),
	}
	plain := &Comparer{Name: "plain", Compare: bytes.Compare}
	for _, c := range []*Comparer{Bytewise(), plain} {
		got := slices.Clone(want)
		slices.Reverse(got)
		slices.SortFunc(got, c.CompareInternal)
		require.Equal(t, want, got)
	}
}

func TestSeparators(t *testing.T) {
	c := Bytewise()
	for _, x := range []struct{ a, b, want string }{
		{"foo", "hello", "g"}, {"foo", "foo", "foo"}, {"foo", "fop", "foo"}, {"foobar", "foozzz", "fooc"},
		{"foo", "foobar", "foo"}, {"a\xff", "b", "a\xff"}, {"abc", "ad", "ac"}, {"abc", "ac", "abc"},
	} {
		require.Equal(t, x.want, string(c.Separator(nil, []byte(x.a), []byte(x.b))), "%q %q", x.a, x.b)
	}
	for _, x := range []struct{ a, want string }{{"foo", "g"}, {"\xff\xff", "\xff\xff"}, {"\xff\x01x", "\xff\x02"}, {"", ""}} {
		require.Equal(t, x.want, string(c.Successor(nil, []byte(x.a))), "%q", x.a)
	}
}

// TestSeparatorLaws checks a ≤ k < b for every order of helpers, and that the
// destination is appended to.
func TestSeparatorLaws(t *testing.T) {
	comparers := []*Comparer{Bytewise(), {Name: "bare", Compare: bytes.Compare}}
	key := rapid.Custom(func(t *rapid.T) []byte {
		user := rapid.SliceOfN(rapid.SampledFrom([]byte{0, 'a', 'b', 0xff}), 0, 5).Draw(t, "user")
		return Make(user, SeqNum(rapid.IntRange(0, 3).Draw(t, "seq")), KindSet)
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := key.Draw(t, "a"), key.Draw(t, "b")
		for _, c := range comparers {
			s := c.SuccessorInternal([]byte("dst"), a)
			if !bytes.HasPrefix(s, []byte("dst")) || !Valid(s[3:]) || c.CompareInternal(a, s[3:]) > 0 {
				t.Fatalf("successor of %s is %s", Format(a), Format(s[3:]))
			}
			if c.CompareInternal(a, b) >= 0 {
				continue
			}
			s = c.SeparatorInternal([]byte("dst"), a, b)[3:]
			if !Valid(s) || c.CompareInternal(a, s) > 0 || c.CompareInternal(s, b) >= 0 {
				t.Fatalf("separator of %s and %s is %s", Format(a), Format(b), Format(s))
			}
		}
	})
}

func TestValidate(t *testing.T) {
	require.NoError(t, Bytewise().Validate())
	require.ErrorContains(t, (&Comparer{Name: "x"}).Validate(), "no Compare")
	require.ErrorContains(t, (&Comparer{Compare: bytes.Compare}).Validate(), "no name")
}
