package lsm

import (
	"sync/atomic"
	"time"
)

// counters is what a store counts as it goes.
type counters struct {
	writes, groups, userBytes   atomic.Uint64
	logBytes                    atomic.Uint64
	syncs                       atomic.Uint64
	syncNs                      atomic.Int64
	gets, memHits, tableReads   atomic.Uint64
	stalls                      atomic.Uint64
	stallNs                     atomic.Int64
	flushes, flushBytes         atomic.Uint64
	flushNs                     atomic.Int64
	compactions, moves          atomic.Uint64
	compactRead, compactWritten atomic.Int64
	compactNs                   atomic.Int64
	dropped                     atomic.Int64
	backgroundErrors            atomic.Uint64
	l0Files                     atomic.Int64
	ingested                    atomic.Uint64
}

// Stats is what a store knows of itself at one moment. Sizes are in bytes.
type Stats struct {
	Levels   []LevelStats `json:"levels"`
	Memory   MemoryStats  `json:"memory"`
	Warnings []string     `json:"warnings,omitempty"` // what an operator should know

	Writes     uint64 `json:"writes"`      // records committed
	Groups     uint64 `json:"groups"`      // commit groups they came in
	UserBytes  uint64 `json:"user_bytes"`  // bytes of those records
	LogBytes   uint64 `json:"log_bytes"`   // bytes written to logs
	Syncs      uint64 `json:"syncs"`       // fsyncs of logs for commits
	SyncNs     int64  `json:"sync_ns"`     // time they took
	Gets       uint64 `json:"gets"`        // point reads
	MemHits    uint64 `json:"mem_hits"`    // of them, answered by a memtable
	TableReads uint64 `json:"table_reads"` // tables that point reads looked into
	Stalls     uint64 `json:"stalls"`      // times a commit group had to wait
	StallNs    int64  `json:"stall_ns"`    // time it waited

	Flushes        uint64 `json:"flushes"`
	FlushBytes     uint64 `json:"flush_bytes"` // written by them
	FlushNs        int64  `json:"flush_ns"`
	Compactions    uint64 `json:"compactions"`
	Moves          uint64 `json:"moves"`           // tables that changed level without being rewritten
	CompactRead    uint64 `json:"compact_read"`    // bytes read by compactions
	CompactWritten uint64 `json:"compact_written"` // bytes written by them
	CompactNs      int64  `json:"compact_ns"`
	Dropped        uint64 `json:"dropped"`  // entries that flushes and compactions left out
	Ingested       uint64 `json:"ingested"` // bytes of tables that were taken in

	// WriteAmplification is the bytes written to logs and tables for each byte
	// of the records that were committed.
	WriteAmplification float64 `json:"write_amplification"`
	// ReadAmplification is the tables that a point read looked into, on average,
	// when no memtable had the answer.
	ReadAmplification float64 `json:"read_amplification"`
	// SpaceAmplification is the bytes of all tables for each byte of the largest
	// level, which holds most of what is live.
	SpaceAmplification float64 `json:"space_amplification"`

	OpenIterators    int    `json:"open_iterators"`
	OpenSnapshots    int    `json:"open_snapshots"`
	OpenTables       int    `json:"open_tables"`
	LastSeq          SeqNum `json:"last_seq"`
	BackgroundErrors uint64 `json:"background_errors"`
	BackgroundError  string `json:"background_error,omitempty"` // why background work is failing now
}

// LevelStats describes one level.
type LevelStats struct {
	Level int     `json:"level"`
	Files int     `json:"files"`
	Bytes uint64  `json:"bytes"`
	Score float64 `json:"score"` // 1 and above: waits for a compaction
}

// MemoryStats says how the memory off the Go heap is split. The shares add up to
// Limit.
type MemoryStats struct {
	Limit       int   `json:"limit"`
	Memtables   Share `json:"memtables"`
	BlockCache  Share `json:"block_cache"` // data blocks and what keeps them
	Tables      Share `json:"tables"`      // index and filter blocks
	LogBuffer   Share `json:"log_buffer"`
	Entries     int   `json:"entries"`      // in memtables
	MemtableUse int   `json:"memtable_use"` // bytes that entries fill, of those that Memtables holds
	CacheMisses int64 `json:"cache_misses"`
	Overflow    int64 `json:"overflow"` // blocks served from the Go heap, for want of room
}

// Share is one part's memory. BlockCache and Tables lend each other what they do not
// use, so that one of them may hold more than its own share: the limit is on their
// sum. The other shares are limits of their own, but for memtables that iterators
// keep.
type Share struct {
	Bytes int `json:"bytes"` // what the part may take, of its own
	Used  int `json:"used"`  // what it holds now, filled or not
}

// Stats gathers the statistics. O(tables + cache frames). After Close only the
// counters are meaningful.
func (d *DB) Stats() Stats {
	c := &d.counters
	s := Stats{
		Writes: c.writes.Load(), Groups: c.groups.Load(), UserBytes: c.userBytes.Load(), LogBytes: c.logBytes.Load(),
		Syncs: c.syncs.Load(), SyncNs: c.syncNs.Load(), Gets: c.gets.Load(), MemHits: c.memHits.Load(),
		TableReads: c.tableReads.Load(), Stalls: c.stalls.Load(), StallNs: c.stallNs.Load(),
		Flushes: c.flushes.Load(), FlushBytes: c.flushBytes.Load(), FlushNs: c.flushNs.Load(),
		Compactions: c.compactions.Load(), Moves: c.moves.Load(), CompactRead: uint64(c.compactRead.Load()),
		CompactWritten: uint64(c.compactWritten.Load()), CompactNs: c.compactNs.Load(), Dropped: uint64(c.dropped.Load()),
		Ingested: c.ingested.Load(), BackgroundErrors: c.backgroundErrors.Load(),
		OpenIterators: int(d.openIters.Load()), LastSeq: SeqNum(d.visible.Load()),
	}
	d.snapMu.Lock()
	s.OpenSnapshots = d.snapshots.n
	d.snapMu.Unlock()
	s.OpenTables, _ = d.tables.count()
	if err := d.backgroundError(); err != nil {
		s.BackgroundError = err.Error()
	}
	rs, err := d.acquire()
	if err != nil {
		return s
	}
	defer rs.unref()
	d.levelStats(&s, rs.version)
	d.memoryStats(&s.Memory, rs)
	s.amplify()
	s.Warnings = d.warnings(&s)
	return s
}

func (d *DB) levelStats(s *Stats, v *version) {
	for level := range v.levels {
		s.Levels = append(s.Levels, LevelStats{
			Level: level, Files: len(v.levels[level]), Bytes: v.sizes[level], Score: d.score(v, level),
		})
	}
}

func (d *DB) memoryStats(m *MemoryStats, rs *readState) {
	o := d.opts
	cs := d.cache.Stats()
	m.Limit = o.MemoryLimit
	m.Memtables = Share{o.MaxWriteBuffers * o.WriteBufferSize, d.pool.held()}
	m.BlockCache = Share{o.BlockCacheSize, int(cs.Blocks + cs.Frames)}
	m.Tables = Share{o.TablesSize, int(cs.Pinned)}
	m.LogBuffer = Share{o.logBuffer(), len(d.logBuf)}
	m.CacheMisses, m.Overflow = cs.Misses, cs.Overflow
	for _, t := range rs.mems {
		m.Entries += t.points.Len() + t.ranges.Len()
		m.MemtableUse += t.arena.Size()
	}
}

// amplify computes the ratios.
func (s *Stats) amplify() {
	if s.UserBytes > 0 {
		s.WriteAmplification = float64(s.LogBytes+s.FlushBytes+s.CompactWritten) / float64(s.UserBytes)
	}
	if n := s.Gets - s.MemHits; n > 0 {
		s.ReadAmplification = float64(s.TableReads) / float64(n)
	}
	var sum, largest uint64
	for _, l := range s.Levels {
		sum += l.Bytes
		largest = max(largest, l.Bytes)
	}
	if largest > 0 {
		s.SpaceAmplification = float64(sum) / float64(largest)
	}
}

// warnings lists what an operator should know.
func (d *DB) warnings(s *Stats) []string {
	var w []string
	if d.opts.TablesSize == 0 {
		w = append(w, "the memory share of index and filter blocks is 0: they take from the block cache")
	}
	if s.Memory.Memtables.Used > s.Memory.Memtables.Bytes {
		w = append(w, "memtables hold more than their share: iterators keep old ones")
	}
	if s.Memory.Overflow > 0 {
		w = append(w, "blocks were read to the Go heap: the block cache is too small for what is pinned")
	}
	if s.BackgroundError != "" {
		w = append(w, "background work fails: "+s.BackgroundError)
	}
	if err := d.fatal.Load(); err != nil {
		w = append(w, (*err).Error())
	}
	if s.StallNs > int64(time.Second) {
		w = append(w, "writes were stalled for more than a second in all: flushes or compactions cannot keep up")
	}
	return w
}
