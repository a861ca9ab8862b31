package segregated

// A heap works in rounds if it has been emptied, to less than one part in 1<<quickEmpty of what
// it used when it grew last, and has come back (quickshare.go): it is likely to do so once more,
// as a program does that answers one request after the other. What it gives back while it is
// empty it needs again in the next round. So what credit is left at the end of a round is
// forfeited, data that grows a little in the next ones, as blocks lie otherwise, brings none, and
// huge free spans are held for as long as heldRounds rounds (held.go). Until the data grows for
// good, pages go back for operations alone, one for each opsPerPage.
const (
	quickEmpty = 3
	heldRounds = 2
)

// rounds says whether a heap works in rounds.
type rounds struct {
	emptied bool   // it has been, since it was back or grew
	at      uint64 // operations there had been when the last round was over, or soon after the heap grew
	ops     uint64 // operations of that round, 0 if there was none since the heap grew
}

// watch is told now and then how much is in use and how many operations there were, for q too,
// and reports whether a round is over.
func (r *rounds) watch(q *quickLists, used, ops uint64) (over bool) {
	if q.turn == quickGrew {
		*r = rounds{at: ops}
	}
	q.watch(used)
	r.emptied = r.emptied || used < q.stood>>quickEmpty
	if over = r.emptied && used > q.stood-q.stood>>quickNear; over {
		*r = rounds{at: ops, ops: ops - r.at}
	}
	return over
}

// inRounds reports whether the heap works in rounds.
func (h *Heap) inRounds() bool { return h.rounds.ops != 0 && h.quick.turn == quickBack }

// endRound is told that a round is over after so many operations.
func (h *Heap) endRound(ops uint64) {
	h.credit = 0
	if h.heldTo != 0 {
		h.heldTo = ops + h.holdFor()
	}
}
