package trace

import (
	"bufio"
	"io"
	"strconv"
)

// WriteRep writes t as .rep text with the classic header order. A reader gives
// the same operations back.
func WriteRep(w io.Writer, t *Trace) error {
	bw := bufio.NewWriterSize(w, 1<<16)
	suggested := t.Suggested
	if suggested <= 0 {
		suggested = t.PeakLive()
	}
	var buf []byte
	for _, v := range [...]int64{suggested, int64(t.IDs), int64(len(t.Ops)), max(t.Weight, 1)} {
		buf = append(strconv.AppendInt(buf, v, 10), '\n')
	}
	for _, o := range t.Ops {
		buf = appendOp(buf, o)
		if len(buf) >= 1<<12 {
			if _, err := bw.Write(buf); err != nil {
				return err
			}
			buf = buf[:0]
		}
	}
	if _, err := bw.Write(buf); err != nil {
		return err
	}
	return bw.Flush()
}

func appendOp(buf []byte, o Op) []byte {
	buf = append(buf, o.Kind.String()...)
	buf = strconv.AppendInt(append(buf, ' '), int64(o.ID), 10)
	if o.Kind == Calloc {
		buf = strconv.AppendInt(append(buf, ' '), o.Count, 10)
	}
	if o.Kind != Free {
		buf = strconv.AppendInt(append(buf, ' '), o.Size, 10)
	}
	return append(buf, '\n')
}
