package corrupt

import (
	"errors"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestError(t *testing.T) {
	e := New("000007.ldb", DataBlock, 0x1f, "checksum is %#x: %w", 5, io.ErrUnexpectedEOF)
	require.EqualError(t, e, "lsm: 000007.ldb: offset 0x1f: corrupt data block: checksum is 0x5: unexpected EOF")
	require.ErrorIs(t, e, ErrCorrupt)
	require.ErrorIs(t, e, io.ErrUnexpectedEOF)

	e.Lo, e.Hi = []byte("a"), []byte("b\x00")
	require.ErrorContains(t, e, `(keys after "a" up to "b\x00" are affected)`)

	whole := &Error{Kind: Table, Off: -1, Err: errors.New("gone")}
	require.EqualError(t, whole, "lsm: table: corrupt table: gone")
}
