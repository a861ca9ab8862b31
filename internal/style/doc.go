// Package style parses the source tree and finds what breaks the habits of the
// project: unsafe outside its files, exported names without a comment, imports
// that go the wrong way, state of a package that can change, pages that load
// something from elsewhere. Its test runs every rule over the whole module.
//
// A rule is a function from a [Tree] to a list of complaints, each with the file
// and line. The rules look at syntax, not at types: they are quick, need no
// build, and see the files of every operating system.
package style
