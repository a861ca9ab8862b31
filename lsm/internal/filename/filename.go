// Package filename knows the names of the files in a store's directory, which
// are LevelDB's.
//
//	CURRENT          the name of the live MANIFEST and a newline
//	LOCK             held while the store is open
//	MANIFEST-NNNNNN  the edits that make up the set of live tables
//	NNNNNN.log       write-ahead log
//	NNNNNN.ldb       table; .sst in old stores
//	NNNNNN.dbtmp     a file being written, to be renamed
//	LOG, LOG.old     LevelDB's own messages, which we neither write nor touch
package filename

import (
	"fmt"
	"strconv"
	"strings"
)

// A Kind says what a file is for.
type Kind uint8

// The kinds of file. The zero value is none of ours.
const (
	Unknown Kind = iota
	Current
	Lock
	Manifest
	Log
	Table
	Temp
	Info
)

// MaxNum is the largest number that a file can have: so many are left behind it that
// none is ever given out twice.
const MaxNum = 1<<62 - 1

// CurrentName and LockName are the files without a number.
const (
	CurrentName = "CURRENT"
	LockName    = "LOCK"
)

// MakeManifest returns the name of a MANIFEST.
func MakeManifest(num uint64) string { return fmt.Sprintf("MANIFEST-%06d", num) }

// MakeLog returns the name of a log.
func MakeLog(num uint64) string { return fmt.Sprintf("%06d.log", num) }

// MakeTable returns the name of a table.
func MakeTable(num uint64) string { return fmt.Sprintf("%06d.ldb", num) }

// MakeOldTable returns the name that LevelDB gave tables before version 1.14.
func MakeOldTable(num uint64) string { return fmt.Sprintf("%06d.sst", num) }

// MakeTemp returns the name of a file that will be renamed.
func MakeTemp(num uint64) string { return fmt.Sprintf("%06d.dbtmp", num) }

// Parse splits a name into its kind and number. A name that is not spelled
// exactly as a writer spells it (case, sign, leading zeros) is Unknown.
func Parse(name string) (Kind, uint64) {
	switch name {
	case CurrentName:
		return Current, 0
	case LockName:
		return Lock, 0
	case "LOG", "LOG.old":
		return Info, 0
	}
	if rest, ok := strings.CutPrefix(name, "MANIFEST-"); ok {
		return number(rest, Manifest)
	}
	stem, ext, _ := strings.Cut(name, ".")
	switch ext {
	case "log":
		return number(stem, Log)
	case "ldb", "sst":
		return number(stem, Table)
	case "dbtmp":
		return number(stem, Temp)
	}
	return Unknown, 0
}

// number parses a file number of at least six digits.
func number(s string, k Kind) (Kind, uint64) {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n > MaxNum || fmt.Sprintf("%06d", n) != s {
		return Unknown, 0
	}
	return k, n
}
