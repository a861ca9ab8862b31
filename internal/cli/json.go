package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
)

// ReadJSON reads the one JSON value that r holds into v, which for files of
// cases is a slice. Anything but white space after it is an error, so that a
// file that was pasted together or cut and continued is not half read. Errors
// give line and column, and name what JSON has, not types of Go.
func ReadJSON(r io.Reader, v any) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	rest := bytes.TrimLeft(data, " \t\r\n")
	if reflect.TypeOf(v).Elem().Kind() == reflect.Slice {
		switch {
		case len(rest) == 0:
			return errors.New("empty: want an array of cases")
		case rest[0] != '[':
			return fmt.Errorf("%s: want an array of cases, got %s", position(data, int64(len(data)-len(rest))), excerpt(rest))
		}
	}
	d := json.NewDecoder(bytes.NewReader(data))
	if err := d.Decode(v); err != nil {
		return explain(data, err)
	}
	return atEnd(data, d)
}

// ReadJSONLine reads the one JSON value of a line into v. A field that v does not
// have is an error.
func ReadJSONLine(line []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return explain(line, err)
	}
	return atEnd(line, d)
}

// atEnd reports what follows the value that d has read of data.
func atEnd(data []byte, d *json.Decoder) error {
	rest := bytes.TrimLeft(data[d.InputOffset():], " \t\r\n")
	if len(rest) > 0 {
		return fmt.Errorf("%s: more after the end of the JSON value", position(data, int64(len(data)-len(rest))))
	}
	return nil
}

// explain says where in data err is, and of what.
func explain(data []byte, err error) error {
	if se, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Errorf("%s: %w", position(data, se.Offset-1), err)
	}
	if te, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		field := ""
		if te.Field != "" {
			field = fmt.Sprintf("field %q: ", te.Field)
		}
		return fmt.Errorf("%s: %swant %s, got %s", position(data, te.Offset-1), field, kindName(te.Type), withArticle(te.Value))
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: the text ends inside a JSON value: %w", position(data, int64(len(data))), io.ErrUnexpectedEOF)
	}
	return errors.New(strings.TrimPrefix(err.Error(), "json: "))
}

// position names the place off in data: its column, and the line if there are
// several.
func position(data []byte, off int64) string {
	before := data[:min(max(off, 0), int64(len(data)))]
	column := len(before) - bytes.LastIndexByte(before, '\n')
	if !bytes.ContainsRune(data, '\n') {
		return fmt.Sprintf("column %d", column)
	}
	return fmt.Sprintf("line %d, column %d", 1+bytes.Count(before, []byte("\n")), column)
}

// excerpt quotes the beginning of b.
func excerpt(b []byte) string {
	const most = 20
	if b = bytes.TrimSpace(b); len(b) > most {
		return fmt.Sprintf("%q…", b[:most])
	}
	return fmt.Sprintf("%q", b)
}

// kindName says what JSON a Go type is read from.
func kindName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer:
		return kindName(t.Elem())
	case reflect.Slice, reflect.Array:
		return "an array"
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number, not negative"
	default:
		return "a whole number"
	}
}

// withArticle puts an article before what package json calls a value.
func withArticle(what string) string {
	switch what {
	case "array", "object":
		return "an " + what
	case "string", "number":
		return "a " + what
	}
	return what // "number 1.5", "bool"
}
