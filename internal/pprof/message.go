package pprof

import "encoding/binary"

// A message is a protocol buffer that is being written: fields, each a tag
// (field<<3 | wire type) and a value. Fields of value 0 are left out, as the
// format asks. Source: protobuf.dev, Encoding.
type message []byte

// Wire types.
const (
	varint = 0
	length = 2
)

// uint writes an integer field.
func (m *message) uint(field int, v uint64) {
	if v != 0 {
		*m = binary.AppendUvarint(appendTag(*m, field, varint), v)
	}
}

// bytes writes a string or a message.
func (m *message) bytes(field int, b []byte) {
	*m = binary.AppendUvarint(appendTag(*m, field, length), uint64(len(b)))
	*m = append(*m, b...)
}

// packed writes a list of integers.
func (m *message) packed(field int, vs []uint64) {
	if len(vs) == 0 {
		return
	}
	var list []byte
	for _, v := range vs {
		list = binary.AppendUvarint(list, v)
	}
	m.bytes(field, list)
}

// appendTag appends a field's tag.
func appendTag(m message, field, wire int) message {
	return binary.AppendUvarint(m, uint64(field)<<3|uint64(wire))
}
