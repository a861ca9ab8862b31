package vm

import (
	"encoding/binary"
	"hash/crc32"
)

// A snapshot is little-endian:
//
//	off  0        4        6       8          12              12+n     16+n
//	     ├────────┼────────┼───────┼──────────┼───────────────┼────────┤
//	     │ "vmMU" │ version│ asid  │ length n │ stats, TLB    │ CRC32C │
//	     └────────┴────────┴───────┴──────────┴───────────────┴────────┘
//
// The TLB's part is its entries, 24 bytes each.
const (
	snapshotMagic   = "vmMU"
	snapshotVersion = 1
	snapshotHeader  = 12
	statsSize       = 4 * 8
	entrySize       = 8 + 8 + 2 + 6
)

// Snapshot returns the state of the MMU: the current tag, the counters and the
// entries of the TLB. Not part of it are page tables and memory, the page-walk
// cache, and what else a TLB has: its counters, the order in which entries were
// used or filled, and in which levels and on which sides they are. The error is nil.
func (m *MMU) Snapshot() ([]byte, error) {
	body := binary.LittleEndian.AppendUint64(nil, m.stats.Walks)
	for _, n := range []uint64{m.stats.Refs, m.stats.Faults, m.stats.NotOwned} {
		body = binary.LittleEndian.AppendUint64(body, n)
	}
	body = appendTLB(body, m.opts.TLB)
	b := append([]byte(snapshotMagic), snapshotVersion, 0)
	b = binary.LittleEndian.AppendUint16(b, uint16(m.asid))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(body)))
	b = append(b, body...)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))), nil
}

func appendTLB(b []byte, t TLB) []byte {
	if t == nil {
		return b
	}
	for e := range t.Entries() {
		b = binary.LittleEndian.AppendUint64(b, uint64(e.Page))
		b = binary.LittleEndian.AppendUint64(b, uint64(e.Frame))
		b = binary.LittleEndian.AppendUint16(b, uint16(e.ASID))
		b = append(b, byte(e.Perm), e.Shift, byte(e.Level), e.Refs, flag(e.Global), 0)
	}
	return b
}

func flag(on bool) byte {
	if on {
		return 1
	}
	return 0
}

// Restore brings back a state that [MMU.Snapshot] returned. The address space of
// its tag must have been switched to before, on this MMU. The TLB is flushed as a
// whole and the entries inserted in the order of [TLB.Entries] as if loads had
// walked for them: in a TLB of several levels or sides they may lie elsewhere than
// they did, some may be evicted, and the TLB's own counters count the walks. On an
// error, a *[Fault] of kind [BadSnapshot], nothing has changed.
func (m *MMU) Restore(snapshot []byte) error {
	body, asid, why := openSnapshot(snapshot)
	if why != "" {
		return badSnapshot(why)
	}
	table := m.spaces[asid]
	if _, none := m.table.(noTable); table == nil && !none {
		return badSnapshot("its address space is not known here")
	}
	var stats MMUStats
	for i, p := range []*uint64{&stats.Walks, &stats.Refs, &stats.Faults, &stats.NotOwned} {
		*p = binary.LittleEndian.Uint64(body[8*i:])
	}
	if err := m.restoreTLB(body[statsSize:]); err != nil {
		return err
	}
	m.stats = stats
	if table != nil {
		m.Switch(table, asid)
	}
	return nil
}

// openSnapshot checks everything about a snapshot that does not depend on the MMU.
func openSnapshot(b []byte) (body []byte, asid ASID, why string) {
	if len(b) < snapshotHeader+statsSize+4 || string(b[:4]) != snapshotMagic {
		return nil, 0, "not a snapshot"
	}
	n := uint64(binary.LittleEndian.Uint32(b[8:]))
	switch {
	case n != uint64(len(b)-snapshotHeader-4):
		return nil, 0, "length does not match"
	case binary.LittleEndian.Uint32(b[len(b)-4:]) != crc32.Checksum(b[:len(b)-4], crc32.MakeTable(crc32.Castagnoli)):
		return nil, 0, "checksum does not match"
	case b[4] != snapshotVersion:
		return nil, 0, "made by another version"
	}
	return b[snapshotHeader : len(b)-4], ASID(binary.LittleEndian.Uint16(b[6:])), ""
}

func (m *MMU) restoreTLB(b []byte) error {
	t := m.opts.TLB
	if t == nil {
		if len(b) != 0 {
			return badSnapshot("it has a TLB and this MMU has none")
		}
		return nil
	}
	if len(b)%entrySize != 0 {
		return badSnapshot("its TLB is of another kind")
	}
	for off := 0; off < len(b); off += entrySize {
		if b[off+19] > 63 || b[off+18] >= NumPerms {
			return badSnapshot("its TLB is of another kind")
		}
	}
	t.Flush(Flush{})
	for ; len(b) > 0; b = b[entrySize:] {
		t.Insert(Entry{
			Page: VirtAddr(binary.LittleEndian.Uint64(b)), Frame: PhysAddr(binary.LittleEndian.Uint64(b[8:])),
			ASID: ASID(binary.LittleEndian.Uint16(b[16:])), Perm: Perm(b[18]), Shift: b[19], Level: int8(b[20]), Refs: b[21], Global: b[22] != 0,
		}, Read)
	}
	return nil
}

func badSnapshot(why string) error { return &Fault{Kind: BadSnapshot, Level: -1, Note: why} }
