#!/bin/sh
# Holds the store against programs that others wrote.
#
#	oracle.sh ORACLES [TOOLS]
#
# ORACLES is a directory with a Makefile that builds the programs into $B, with
# verify.sh DIR EXPECT.json, which reads a database of ours with C++ LevelDB, plyvel,
# goleveldb, RocksDB's sst_dump and LevelDB's DumpFile, and with make_all.sh OUT, which
# makes databases with the others, whole and damaged. TOOLS is where the programs are
# built, a temporary directory by default. Run from anywhere inside the repository; needs
# what the Makefile names, and make. It is a Go test: the package's tests of the name
# Oracle, which are skipped elsewhere.
set -eu
oracles=$(cd "${1:?usage: oracle.sh ORACLES [TOOLS]}" && pwd)
top=$(git rev-parse --show-toplevel)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT INT TERM
mkdir -p "${2:-$tmp/tools}"
B=$(cd "${2:-$tmp/tools}" && pwd)
export B
cp -r "$oracles" "$tmp/oracles" # it may be read-only, and building writes
make -C "$tmp/oracles" >"$tmp/make.log" 2>&1 || { cat "$tmp/make.log" >&2; exit 1; }
cd "$top" && go test -count=1 -v -run Oracle ./lsm -oracle "$tmp/oracles"
