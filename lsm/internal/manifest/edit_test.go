package manifest

import (
	"encoding/hex"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/memlab-go/memlab/lsm/internal/filename"
	"github.com/memlab-go/memlab/lsm/internal/keys"
)

// drawEdit makes any edit.
func drawEdit(t *rapid.T) Edit {
	var e Edit
	num := rapid.Uint64Range(0, filename.MaxNum)
	seq := rapid.Custom(func(t *rapid.T) keys.SeqNum {
		return keys.SeqNum(rapid.Uint64Range(0, uint64(keys.MaxSeqNum)).Draw(t, "seq"))
	})
	key := rapid.Custom(func(t *rapid.T) []byte {
		return keys.Make(rapid.SliceOf(rapid.Byte()).Draw(t, "user"), seq.Draw(t, "seq"),
			rapid.SampledFrom([]keys.Kind{keys.KindSet, keys.KindDelete}).Draw(t, "kind"))
	})
	level := rapid.IntRange(0, NumLevels-1)
	e.Comparer = rapid.Ptr(rapid.String(), true).Draw(t, "comparer")
	e.LogNum = rapid.Ptr(num, true).Draw(t, "log")
	e.PrevLog = rapid.Ptr(num, true).Draw(t, "prev")
	e.NextFile = rapid.Ptr(num, true).Draw(t, "next")
	e.LastSeq = rapid.Ptr(seq, true).Draw(t, "last")
	for range rapid.IntRange(0, 3).Draw(t, "lists") {
		e.CompactPointers = append(e.CompactPointers, CompactPointer{level.Draw(t, "level"), key.Draw(t, "key")})
		e.Deleted = append(e.Deleted, TableRef{level.Draw(t, "level"), num.Draw(t, "num")})
		e.Added = append(e.Added, TableMeta{level.Draw(t, "level"), num.Draw(t, "num"), num.Draw(t, "size"),
			key.Draw(t, "smallest"), key.Draw(t, "largest")})
	}
	e.Family = rapid.Uint32().Draw(t, "family")
	e.AddFamily = rapid.Ptr(rapid.String(), true).Draw(t, "add")
	e.DropFamily = rapid.Bool().Draw(t, "drop")
	e.MaxFamily = rapid.Ptr(rapid.Uint32(), true).Draw(t, "max")
	return e
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := drawEdit(t)
		var got Edit
		if err := got.Decode(e.Encode(nil)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(e, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

// TestGolden holds the bytes that LevelDB writes for the same edits.
func TestGolden(t *testing.T) {
	for _, c := range []struct {
		name, hex string
		edit      Edit
	}{
		{"first edit of a database", "011a6c6576656c64622e4279746577697365436f6d70617261746f72" + "0200" + "0302" + "0400",
			Edit{Comparer: new(keys.BytewiseName), LogNum: new(uint64(0)), NextFile: new(uint64(2)), LastSeq: new(keys.SeqNum(0))}},
		{"a compaction", "0501" + "09" + "61" + "0105000000000000" + "060003" + "070105" + "ac02" +
			"09" + "61" + "0105000000000000" + "09" + "62" + "0003000000000000",
			Edit{
				CompactPointers: []CompactPointer{{1, keys.Make([]byte("a"), 5, keys.KindSet)}},
				Deleted:         []TableRef{{0, 3}},
				Added: []TableMeta{{1, 5, 300, keys.Make([]byte("a"), 5, keys.KindSet),
					keys.Make([]byte("b"), 3, keys.KindDelete)}},
			}},
		{"a column family", "c801" + "03" + "c901" + "0568656c6c6f", Edit{Family: 3, AddFamily: new("hello")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			require.Equal(t, c.hex, hex.EncodeToString(c.edit.Encode(nil)))
			b, err := hex.DecodeString(c.hex)
			require.NoError(t, err)
			var got Edit
			require.NoError(t, got.Decode(b))
			require.Empty(t, cmp.Diff(c.edit, got))
		})
	}
}

func TestDecodeErrors(t *testing.T) {
	for _, c := range []struct{ name, hex, want string }{
		{"unknown tag", "08", "unknown tag 8"},
		{"tag cut", "80", "tag: ends too early"},
		{"number cut", "02", "log number: ends too early"},
		{"name longer than the edit", "0105616263", "comparator: ends too early"},
		{"name of 2^63 bytes", "01ffffffffffffffff7f", "comparator: ends too early"},
		{"level 7", "060703", "level 7"},
		{"key without trailer", "070105ac02" + "0161" + "0162", "bad internal key"},
		{"kind of the future", "0501" + "09" + "61" + "7705000000000000", "compact pointer"},
		{"sequence of 57 bits", "04" + "808080808080808002", "does not fit 56 bits"},
		{"file number of 63 bits", "03" + "808080808080808040", "the largest is 4611686018427387903"},
		{"family of 33 bits", "c801" + "8080808010", "does not fit 32 bits"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, err := hex.DecodeString(c.hex)
			require.NoError(t, err)
			var e Edit
			require.ErrorContains(t, e.Decode(b), c.want)
		})
	}
}

func TestIgnorableTagIsSkipped(t *testing.T) {
	b := append([]byte{0x81, 0x40}, "\x03abc"...) // tag 1<<13 | 1
	b = (&Edit{LogNum: new(uint64(7))}).Encode(b)
	var e Edit
	require.NoError(t, e.Decode(b))
	require.EqualValues(t, 7, *e.LogNum)
}

// FuzzDecode decodes any bytes: an error, or an edit that encodes to one that
// decodes to the same.
func FuzzDecode(f *testing.F) {
	f.Add((&Edit{Comparer: new("c"), LogNum: new(uint64(1)), Deleted: []TableRef{{1, 2}}}).Encode(nil))
	f.Add([]byte{7, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		var e, again Edit
		if e.Decode(b) != nil {
			return
		}
		if err := again.Decode(e.Encode(nil)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(e, again); diff != "" {
			t.Fatal(diff)
		}
	})
}
