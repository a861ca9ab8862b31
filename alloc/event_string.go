package alloc

import "fmt"

// String returns the kind in lower case: "malloc", "coalesce", "read", ….
func (k EventKind) String() string {
	switch k {
	case EventMalloc:
		return "malloc"
	case EventCalloc:
		return "calloc"
	case EventRealloc:
		return "realloc"
	case EventFree:
		return "free"
	case EventFailed:
		return "failed"
	case EventSplit:
		return "split"
	case EventCoalesce:
		return "coalesce"
	case EventCommit:
		return "commit"
	case EventDecommit:
		return "decommit"
	case EventMove:
		return "move"
	case EventRead:
		return "read"
	case EventWrite:
		return "write"
	}
	return fmt.Sprintf("event %d", uint8(k))
}
