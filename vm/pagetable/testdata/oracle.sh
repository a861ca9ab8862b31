#!/bin/sh
# Holds dumped page tables against an emulated MMU that others wrote.
#
#	oracle.sh ORACLE.PY [FIRST_SEED LAST_SEED [FORMAT...]]
#
# ORACLE.PY is a program that takes case directories, as `memlab dump` writes them,
# and exits 1 when an MMU disagrees with one of them. Run from anywhere inside the
# repository; needs Python 3, QEMU and the cross assemblers that the oracle names.
set -eu
oracle=${1:?usage: oracle.sh ORACLE.PY [FIRST LAST [FORMAT...]]}
first=${2:-1}
last=${3:-10}
[ $# -gt 3 ] && shift 3 || set -- x86-64-4level x86-64-5level x86-32 x86-pae sv32 sv39 sv48 sv57 aarch64-4k \
	sv39+sv39x4 sv48+sv48x4 x86-64-4level+npt
top=$(git rev-parse --show-toplevel)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT INT TERM
(cd "$top" && go build -o "$dir/memlab" ./cmd/memlab)
status=0
for format; do
	seed=$first
	while [ "$seed" -le "$last" ]; do
		"$dir/memlab" dump -format "$format" -seed "$seed" -o "$dir/case/$format-$seed" >/dev/null
		seed=$((seed + 1))
	done
	python3 "$oracle" "$dir"/case/"$format"-* || status=1
	rm -rf "$dir/case"
done
exit $status
