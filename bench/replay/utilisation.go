package replay

import (
	"runtime"
	"runtime/debug"

	"github.com/memlab-go/memlab/alloc"
)

// evenPoints is at how many evenly spaced operations resident memory is read.
const evenPoints = 300

// pageSize is the step at which blocks are touched: the smallest page of any
// system memlab runs on.
const pageSize = 4096

// Usage is what [Utilisation] measured, in bytes. Figures that this system or
// the allocator cannot give are -1.
type Usage struct {
	PeakLive      int64
	PeakResident  int64 // growth over the process before the heap was made
	PeakCommitted int64 // as the heap's Stats say

	MeanLiveOverResident  float64 // over the even points
	MeanLiveOverCommitted float64

	Fragmentation Fragmentation
	Points        []Point // the even points, in order
}

// A Point is one reading. Sizes are in bytes, -1 where unknown.
type Point struct {
	Op        int   `json:"op"` // operations done
	Live      int64 `json:"live"`
	Resident  int64 `json:"resident"`
	Committed int64 `json:"committed"`
}

// Fragmentation sums up what a heap's own statistics say of its waste; see
// [alloc.Stats] for the two kinds. All are shares from 0 to 1, over the even
// points; they are 0 for a heap without statistics.
type Fragmentation struct {
	MeanInternal float64 `json:"mean_internal"`
	PeakInternal float64 `json:"peak_internal"` // when live payload is at its peak
	MeanExternal float64 `json:"mean_external"`
	PeakExternal float64 `json:"peak_external"`
}

// PeakOverResident is the peak utilisation: PeakLive/PeakResident, or -1.
func (u *Usage) PeakOverResident() float64 { return share(u.PeakLive, u.PeakResident) }

// PeakOverCommitted is PeakLive/PeakCommitted, or -1.
func (u *Usage) PeakOverCommitted() float64 { return share(u.PeakLive, u.PeakCommitted) }

func share(a, b int64) float64 {
	if b <= 0 {
		return -1
	}
	return float64(a) / float64(b)
}

// Utilisation runs p once on a heap of e, touching every page of every block,
// and reads the process's memory as it goes. It must be the first thing of its
// kind in its process: memory that an earlier run left behind would be used
// again unseen.
func Utilisation(p *Program, e Entry, cfg Config) (*Usage, error) {
	m := &meter{p: p, u: &Usage{PeakResident: -1, PeakCommitted: -1}, lastPoint: -1}
	m.u.Points = make([]Point, 0, evenPoints+1)
	tab := make(table, p.Slots)
	for i := range tab {
		tab[i] = nil // so that the table is resident before the first reading
	}
	if err := m.warmUp(e, cfg); err != nil {
		return nil, err
	}
	if !e.Collected {
		defer debug.SetGCPercent(debug.SetGCPercent(-1))
	}
	clear(tab)
	if err := m.start(); err != nil {
		return nil, err
	}
	defer m.stop()
	h, err := e.New(cfg)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	if err := m.run(h, tab); err != nil {
		return nil, err
	}
	m.finish()
	runtime.KeepAlive(tab)
	return m.u, nil
}

// A meter follows one run.
type meter struct {
	p        *Program
	u        *Usage
	resident *residentReader // nil where there is none
	before   int64           // resident bytes before the heap was made

	live      int64
	lastRise  int64 // live peak at the last reading
	lastPoint int   // number of the last even point
	sum       struct{ resident, committed, internal, external float64 }
	n         struct{ resident, committed, stats int }
	peakSeen  int64 // live at the even point with most of it
}

// warmUp runs the beginning of the program on a heap that is thrown away, so
// that pages of code and the runtime's own structures are there before the
// first reading; they belong to the process, not to the heap.
func (m *meter) warmUp(e Entry, cfg Config) error {
	const warmOps = 5000
	cfg.Sink = nil
	h, err := e.New(cfg)
	if err != nil {
		return err
	}
	head := m.p.head(warmOps)
	err = head.run(h, make(table, m.p.Slots))
	if s, ok := h.(interface{ Stats() alloc.Stats }); ok {
		s.Stats()
	}
	h.Close() // its error tells of the blocks left, on purpose
	return err
}

func (m *meter) start() error {
	r, err := newResidentReader()
	if err == nil {
		m.resident = r
		if _, err := r.read(); err != nil {
			return err
		}
	}
	debug.FreeOSMemory()
	if m.resident != nil {
		m.before, err = m.resident.read()
		return err
	}
	return nil
}

func (m *meter) stop() {
	if m.resident != nil {
		m.resident.close()
	}
}

// run executes the program, touching pages and taking readings.
func (m *meter) run(h Heap, tab table) error {
	p := m.p
	for i := range p.code {
		in := &p.code[i]
		op, x, y := p.unpack(in)
		var b []byte
		var err error
		switch op {
		case opMalloc:
			b, err = h.Malloc(int(x))
			m.live += x
		case opFree:
			h.Free(view(tab[in.slot], int(y)))
			m.live -= y
		case opRealloc:
			b, err = h.Realloc(view(tab[in.slot], int(y)), int(x))
			m.live += x - y
		case opCalloc:
			b, err = h.Calloc(int(x), int(y))
			m.live += x * y
		}
		if err != nil {
			return &OpError{p.Name, i + 1, err}
		}
		tab[in.slot] = base(b)
		touch(b)
		if err := m.observe(h, i); err != nil {
			return err
		}
	}
	return nil
}

// touch writes a byte in every page of b.
func touch(b []byte) {
	for i := 0; i < len(b); i += pageSize {
		b[i] = 1
	}
	if len(b) > 0 {
		b[len(b)-1] = 1
	}
}

// observe takes a reading after operation i if one is due.
func (m *meter) observe(h Heap, i int) error {
	point := (i + 1) * evenPoints / len(m.p.code)
	even := point != m.lastPoint && (i+1)*evenPoints >= point*len(m.p.code) && point > 0
	rise := m.live > m.lastRise+m.lastRise/100
	if !even && !rise {
		return nil
	}
	if rise {
		m.lastRise = m.live
	}
	pt := Point{Op: i + 1, Live: m.live, Resident: -1, Committed: -1}
	if m.resident != nil {
		now, err := m.resident.read()
		if err != nil {
			return err
		}
		pt.Resident = max(now-m.before, 0)
		m.u.PeakResident = max(m.u.PeakResident, pt.Resident)
	}
	s, ok := stats(h)
	if ok {
		pt.Committed = int64(s.Committed)
		m.u.PeakCommitted = max(m.u.PeakCommitted, pt.Committed)
	}
	m.u.PeakLive = max(m.u.PeakLive, m.live)
	if even {
		m.lastPoint = point
		m.even(pt, s, ok)
	}
	return nil
}

// even adds an even point to the means.
func (m *meter) even(pt Point, s alloc.Stats, haveStats bool) {
	m.u.Points = append(m.u.Points, pt)
	if pt.Resident > 0 {
		m.sum.resident += share(pt.Live, pt.Resident)
		m.n.resident++
	}
	if pt.Committed > 0 {
		m.sum.committed += share(pt.Live, pt.Committed)
		m.n.committed++
	}
	if !haveStats {
		return
	}
	internal, external := s.InternalFragmentation(), s.ExternalFragmentation()
	m.sum.internal += internal
	m.sum.external += external
	m.n.stats++
	if pt.Live > m.peakSeen {
		m.peakSeen = pt.Live
		m.u.Fragmentation.PeakInternal, m.u.Fragmentation.PeakExternal = internal, external
	}
}

func (m *meter) finish() {
	u := m.u
	u.PeakLive = m.p.PeakLive
	u.MeanLiveOverResident = mean(m.sum.resident, m.n.resident)
	u.MeanLiveOverCommitted = mean(m.sum.committed, m.n.committed)
	if m.n.stats > 0 {
		u.Fragmentation.MeanInternal = m.sum.internal / float64(m.n.stats)
		u.Fragmentation.MeanExternal = m.sum.external / float64(m.n.stats)
	}
}

func mean(sum float64, n int) float64 {
	if n == 0 {
		return -1
	}
	return sum / float64(n)
}
