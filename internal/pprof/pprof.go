// Package pprof writes profiles in the format of go tool pprof: a gzipped
// protocol buffer, profile.proto of github.com/google/pprof. It knows what a
// heap needs of that: samples with a call stack and values each.
package pprof

import (
	"compress/gzip"
	"io"
	"runtime"
)

// A ValueType says what a value counts, and in what unit.
type ValueType struct {
	Type string // "inuse_space"
	Unit string // "bytes"
}

// A Sample is a call stack and one value of each of the profile's types.
type Sample struct {
	Stack  []uintptr // program counters as [runtime.Callers] gives them, innermost first
	Values []int64
}

// A Profile is what Write writes.
type Profile struct {
	Types      []ValueType
	Samples    []Sample
	Period     int64 // between samples, in units of PeriodType
	PeriodType ValueType
	Default    string // the type that pprof shows first
}

// Numbers of the fields, from profile.proto.
const (
	profileSampleType  = 1
	profileSample      = 2
	profileLocation    = 4
	profileFunction    = 5
	profileStrings     = 6
	profilePeriodType  = 11
	profilePeriod      = 12
	profileDefaultType = 14

	valueTypeType = 1
	valueTypeUnit = 2

	sampleLocation = 1
	sampleValue    = 2

	locationID      = 1
	locationAddress = 3
	locationLine    = 4

	lineFunction = 1
	lineLine     = 2

	functionID        = 1
	functionName      = 2
	functionSystem    = 3
	functionFile      = 4
	functionStartLine = 5
)

// Write writes p, gzipped.
func (p *Profile) Write(w io.Writer) error {
	z := gzip.NewWriter(w)
	if _, err := z.Write(p.encode()); err != nil {
		return err
	}
	return z.Close()
}

// encoder collects what samples share.
type encoder struct {
	out       message
	strings   map[string]uint64
	table     []string
	locations map[frame]uint64
	functions map[function]uint64
}

// frame is what makes a location different from others.
type frame struct {
	pc   uintptr
	line int
	name string
}

// function is what makes a function different from others.
type function struct{ name, file string }

// encode returns p as a protocol buffer.
func (p *Profile) encode() []byte {
	e := &encoder{strings: map[string]uint64{}, locations: map[frame]uint64{}, functions: map[function]uint64{}}
	e.string("") // string 0 has to be empty
	for _, t := range p.Types {
		e.out.bytes(profileSampleType, e.valueType(t))
	}
	for _, s := range p.Samples {
		var m message
		m.packed(sampleLocation, e.stack(s.Stack))
		values := make([]uint64, len(s.Values))
		for i, v := range s.Values {
			values[i] = uint64(v)
		}
		m.packed(sampleValue, values)
		e.out.bytes(profileSample, m)
	}
	e.out.bytes(profilePeriodType, e.valueType(p.PeriodType))
	e.out.uint(profilePeriod, uint64(p.Period))
	e.out.uint(profileDefaultType, e.string(p.Default))
	for _, s := range e.table {
		e.out.bytes(profileStrings, []byte(s))
	}
	return e.out
}

// string returns the number of s in the table of strings.
func (e *encoder) string(s string) uint64 {
	i, ok := e.strings[s]
	if !ok {
		i = uint64(len(e.table))
		e.strings[s] = i
		e.table = append(e.table, s)
	}
	return i
}

func (e *encoder) valueType(t ValueType) message {
	var m message
	m.uint(valueTypeType, e.string(t.Type))
	m.uint(valueTypeUnit, e.string(t.Unit))
	return m
}

// stack returns the locations of a call stack and writes those that are new.
func (e *encoder) stack(pcs []uintptr) []uint64 {
	ids := make([]uint64, 0, len(pcs))
	if len(pcs) == 0 {
		return ids
	}
	for frames, more := runtime.CallersFrames(pcs), true; more; {
		var f runtime.Frame
		f, more = frames.Next()
		if f.PC != 0 {
			ids = append(ids, e.location(f))
		}
	}
	return ids
}

// location returns the number of a frame.
func (e *encoder) location(f runtime.Frame) uint64 {
	key := frame{f.PC, f.Line, f.Function}
	id, ok := e.locations[key]
	if ok {
		return id
	}
	id = uint64(len(e.locations) + 1)
	e.locations[key] = id
	var line, m message
	line.uint(lineFunction, e.function(f))
	line.uint(lineLine, uint64(f.Line))
	m.uint(locationID, id)
	m.uint(locationAddress, uint64(f.PC))
	m.bytes(locationLine, line)
	e.out.bytes(profileLocation, m)
	return id
}

// function returns the number of the function of a frame.
func (e *encoder) function(f runtime.Frame) uint64 {
	key := function{f.Function, f.File}
	id, ok := e.functions[key]
	if ok {
		return id
	}
	id = uint64(len(e.functions) + 1)
	e.functions[key] = id
	var m message
	m.uint(functionID, id)
	m.uint(functionName, e.string(f.Function))
	m.uint(functionSystem, e.string(f.Function))
	m.uint(functionFile, e.string(f.File))
	if f.Func != nil {
		_, start := f.Func.FileLine(f.Entry)
		m.uint(functionStartLine, uint64(start))
	}
	e.out.bytes(profileFunction, m)
	return id
}
