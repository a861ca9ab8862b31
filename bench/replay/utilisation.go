package replay

import (
	"errors"
	"runtime"
	"runtime/debug"
	"sync"
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

	MeanLiveOverResident  float64 // mean of live over mean of resident bytes, over the even points
	MeanLiveOverCommitted float64 // the same over committed bytes
	MeanOfPoints          float64 // mean over the even points of live/resident at each

	Moved float64 // bytes that Compact moved over those allocated

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

// Utilisation runs p on a heap of e, touching every page of every block, and
// reads the process's memory as it goes. It must be the first thing of its kind
// in its process: memory that an earlier run left behind would be used again
// unseen. Then it runs p once more, on another heap, to ask that for its own
// statistics, which may cost memory and must not be mixed with the first run.
func Utilisation(p *Program, e Entry, cfg Config) (*Usage, error) {
	u := &Usage{PeakLive: p.PeakLive, PeakResident: -1, PeakCommitted: -1, MeanLiveOverResident: -1, MeanLiveOverCommitted: -1, MeanOfPoints: -1}
	u.Points = make([]Point, 0, evenPoints+1)
	resident, err := newResidentReader()
	if err == nil {
		defer resident.close()
		err = u.residentRun(p, e, cfg, resident)
	} else if errors.Is(err, errors.ErrUnsupported) {
		err = nil
	}
	if err != nil {
		return nil, err
	}
	return u, u.statsRun(p, e, cfg)
}

// residentRun is the first run.
func (u *Usage) residentRun(p *Program, e Entry, cfg Config, resident *residentReader) error {
	tab := make(table, p.Slots)
	m := newMover(e, p.PeakLive)
	if err := warmUp(p, e, tab); err != nil {
		return err
	}
	if !e.Collected {
		defer debug.SetGCPercent(debug.SetGCPercent(-1))
	}
	clear(tab)                      // also so that the table is resident before the first reading
	clear(u.Points[:cap(u.Points)]) // the same: the notes are not the heap's
	debug.FreeOSMemory()
	before, err := resident.read()
	if err != nil {
		return err
	}
	var over ratio
	err = p.observe(e, cfg, tab, m, func(_ Heap, pt Point, even bool) error {
		now, err := resident.read()
		if err != nil {
			return err
		}
		pt.Resident, pt.Committed = max(now-before, 0), -1
		u.PeakResident = max(u.PeakResident, pt.Resident)
		if even {
			u.Points = append(u.Points, pt)
			over.add(pt.Live, pt.Resident)
		}
		return nil
	})
	u.Moved = m.share()
	u.MeanLiveOverResident, u.MeanOfPoints = over.ofMeans(), over.each.value()
	return err
}

// warmUp runs the beginning of the program on a heap that is thrown away, so
// that pages of code and the runtime's own structures are there before the
// first reading; they belong to the process, not to the heap.
func warmUp(p *Program, e Entry, tab table) error {
	const warmOps = 5000
	spareThreads()
	h, err := e.New(Config{})
	if err != nil {
		return err
	}
	err = p.head(warmOps).run(h, tab, new(Config), nil)
	h.Close() // its error tells of the blocks left, on purpose
	return err
}

// spareThreads makes the runtime start threads that it has idle from then on. It takes
// one whenever a system call takes long, as those that bring pages into memory do, and
// the stacks of a new one would pass for the heap's memory.
func spareThreads() {
	const threads = 4
	var ready, done sync.WaitGroup
	ready.Add(threads)
	for range threads {
		done.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			ready.Done()
			ready.Wait() // so that each has a thread of its own
		})
	}
	done.Wait()
}

// statsRun is the second run.
func (u *Usage) statsRun(p *Program, e Entry, cfg Config) error {
	var over ratio
	var internal, external average
	point, peak := 0, int64(-1)
	err := p.observe(e, cfg, make(table, p.Slots), newMover(e, p.PeakLive), func(h Heap, pt Point, even bool) error {
		s, ok := stats(h)
		if !ok {
			return errNoStats
		}
		u.PeakCommitted = max(u.PeakCommitted, int64(s.Committed))
		if !even {
			return nil
		}
		if point == len(u.Points) {
			pt.Resident = -1
			u.Points = append(u.Points, pt)
		}
		u.Points[point].Committed = int64(s.Committed)
		point++
		over.add(pt.Live, int64(s.Committed))
		internal.add(s.InternalFragmentation())
		external.add(s.ExternalFragmentation())
		if pt.Live > peak {
			peak = pt.Live
			u.Fragmentation.PeakInternal, u.Fragmentation.PeakExternal = s.InternalFragmentation(), s.ExternalFragmentation()
		}
		return nil
	})
	if errors.Is(err, errNoStats) {
		return nil
	}
	u.MeanLiveOverCommitted = over.ofMeans()
	u.Fragmentation.MeanInternal, u.Fragmentation.MeanExternal = max(internal.value(), 0), max(external.value(), 0)
	return err
}

// errNoStats ends a run on a heap that has no statistics.
var errNoStats = errors.New("replay: the heap has no statistics")

// A ratio compares two figures over the even points, in two ways: that of their
// means, and the mean of their ratios. The second gives a point at which almost
// nothing is live the weight of one at which everything is.
type ratio struct {
	live, held float64
	each       average
}

func (r *ratio) add(live, held int64) {
	r.live += float64(live)
	r.held += float64(held)
	r.each.add(share(live, held))
}

// ofMeans returns the mean of the live bytes over that of the held ones, or -1.
func (r *ratio) ofMeans() float64 {
	if r.held <= 0 {
		return -1
	}
	return r.live / r.held
}

// An average is of the values that are known, which negative ones are not.
type average struct {
	sum float64
	n   int
}

func (a *average) add(v float64) {
	if v >= 0 {
		a.sum += v
		a.n++
	}
}

// value returns the mean, or -1 of nothing.
func (a *average) value() float64 {
	if a.n == 0 {
		return -1
	}
	return a.sum / float64(a.n)
}

// observe runs p on a heap of e, touches every page of every block, and calls
// see at the even points and whenever the live peak has grown by 1 %. m is the mover
// of heaps of e, if they have one.
func (p *Program) observe(e Entry, cfg Config, tab table, m *mover, see func(h Heap, pt Point, even bool) error) error {
	h, err := e.New(cfg)
	if err != nil {
		return err
	}
	defer h.Close() // its error tells of the blocks left, on purpose
	if err := m.follow(h, tab); err != nil {
		return err
	}
	var live, lastRise int64
	done := 0 // even points
	for i := range p.code {
		if i%stopEvery == 0 && cfg.stopped() {
			return &OpError{p.Name, i, ErrStopped}
		}
		grown, err := p.touching(h, tab, &p.code[i])
		if err != nil {
			return &OpError{p.Name, i + 1, err}
		}
		if err := p.placed(m, tab, i); err != nil {
			return err
		}
		live += grown
		due := (i + 1) * evenPoints / len(p.code)
		even, rise := due > done, live > lastRise+lastRise/100
		if !even && !rise {
			continue
		}
		done = due
		lastRise = max(lastRise, live)
		if err := see(h, Point{Op: i + 1, Live: live, Committed: -1}, even); err != nil {
			return err
		}
	}
	return nil
}

// touching executes one operation, writes a byte in every page of the block it
// got, and returns by how many bytes the live payload grew.
func (p *Program) touching(h Heap, tab table, in *instr) (grown int64, err error) {
	var b []byte
	op, x, y := p.unpack(in)
	switch op {
	case opMalloc:
		b, err = h.Malloc(int(x))
		grown = x
	case opFree:
		h.Free(view(tab[in.slot], int(y)))
		grown = -y
	case opRealloc:
		b, err = h.Realloc(view(tab[in.slot], int(y)), int(x))
		grown = x - y
	case opCalloc:
		b, err = h.Calloc(int(x), int(y))
		grown = x * y
	}
	if err != nil {
		return 0, err
	}
	tab[in.slot] = base(b)
	for i := 0; i < len(b); i += pageSize {
		b[i] = 1
	}
	if len(b) > 0 {
		b[len(b)-1] = 1
	}
	return grown, nil
}
