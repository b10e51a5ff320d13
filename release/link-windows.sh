#!/bin/sh
# Links for Windows. GNU ld puts what is imported from DLLs into the order of the paths of the archives that name it. Relative to
# the target folder these paths are in the same order wherever that lies, and behind all others.
cd "$UPKEEP_TARGET" || exit 1
for argument; do
    shift
    set -- "$@" "${argument#"$UPKEEP_TARGET"/}"
done
exec x86_64-w64-mingw32-gcc "$@"
