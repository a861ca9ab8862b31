package lsm

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSmoke(t *testing.T) {
	dir := t.TempDir()
	o := &Options{WriteBufferSize: 64 << 10, BlockCacheSize: 1 << 20, TargetFileSize: 32 << 10, LevelSize: 128 << 10}
	d, err := Open(dir, o)
	require.NoError(t, err)
	model := map[string]string{}
	rng := rand.New(rand.NewPCG(1, 2))
	check := func() {
		t.Helper()
		n := 0
		it, err := d.NewIter(nil)
		require.NoError(t, err)
		for k, v := range it.All() {
			require.Equal(t, model[string(k)], string(v), "%q", k)
			n++
		}
		require.NoError(t, it.Close())
		require.Equal(t, len(model), n)
		for k, v := range model {
			got, err := d.Get([]byte(k))
			require.NoError(t, err)
			require.Equal(t, v, string(got))
		}
	}
	for round := range 4 {
		for i := range 5000 {
			k := fmt.Sprintf("key%05d", rng.IntN(3000))
			if rng.IntN(5) == 0 {
				require.NoError(t, d.Delete([]byte(k)))
				delete(model, k)
				continue
			}
			v := fmt.Sprintf("value %d %d", round, i)
			require.NoError(t, d.Put([]byte(k), []byte(v)))
			model[k] = v
		}
		check()
		require.NoError(t, d.Check())
		if round == 1 {
			require.NoError(t, d.CompactRange(nil, nil))
			check()
			require.NoError(t, d.Check())
		}
		require.NoError(t, d.Close())
		d, err = Open(dir, o)
		require.NoError(t, err)
		check()
	}
	t.Logf("%+v", d.Stats())
	require.NoError(t, d.Close())
}
