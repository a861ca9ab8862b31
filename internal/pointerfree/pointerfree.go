// Package pointerfree finds Go pointers inside types. Memory that does not come
// from the Go heap must not hold any: the collector does not look there.
package pointerfree

import (
	"reflect"
	"strconv"
)

// Path returns "" if values of t hold no Go pointers, else the path to the
// first one, as a Go expression on a value of t: "next" for a field, "list[0].p"
// deeper down, "" followed by true in bad if t itself is a pointer.
//
// Strings, slices, maps, channels, functions, interfaces and unsafe.Pointer
// hold pointers; uintptr does not. A zero-length array holds nothing. O(fields).
func Path(t reflect.Type) (path string, bad bool) {
	switch t.Kind() {
	case reflect.Array:
		if t.Len() == 0 {
			return "", false
		}
		sub, bad := Path(t.Elem())
		if !bad {
			return "", false
		}
		return "[0]" + join(sub), true
	case reflect.Struct:
		for i := range t.NumField() {
			f := t.Field(i)
			sub, bad := Path(f.Type)
			if bad {
				return name(f, i) + join(sub), true
			}
		}
		return "", false
	case reflect.Pointer, reflect.UnsafePointer, reflect.String, reflect.Slice,
		reflect.Map, reflect.Chan, reflect.Func, reflect.Interface:
		return "", true
	default:
		return "", false
	}
}

// Describe says what is wrong with t in the words of an error message:
// "field next has a pointer", or "string has a pointer" for a t that is itself
// not allowed. It returns "" for a good t.
func Describe(t reflect.Type) string {
	path, bad := Path(t)
	switch {
	case !bad:
		return ""
	case path == "":
		return t.String() + " has a pointer"
	case path[0] == '[':
		return "element " + path + " has a pointer"
	default:
		return "field " + path + " has a pointer"
	}
}

// name is the field's name, or its number when it is blank.
func name(f reflect.StructField, i int) string {
	if f.Name == "_" {
		return "#" + strconv.Itoa(i)
	}
	return f.Name
}

// join puts the dot between a path and what follows it.
func join(sub string) string {
	if sub == "" || sub[0] == '[' {
		return sub
	}
	return "." + sub
}
