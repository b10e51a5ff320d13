#!/bin/sh
# Installs what was built into PREFIX, or removes it: programs, the names by which kubectl asks for completions, completion scripts,
# manual pages.
#
#   PREFIX=DIR release/install.sh [--remove] PROGRAM...
set -eu

fail() {
	echo "error: $1" >&2
	exit 1
}

prefix=${PREFIX:-}
case $prefix in
/*) ;;
*) fail "PREFIX must be a whole path, such as PREFIX=/usr/local; it is \"$prefix\"" ;;
esac
CDPATH='' cd -- "$(dirname -- "$0")/.."
built=${CARGO_TARGET_DIR:-target}/release

remove=
[ "${1:-}" != --remove ] || { remove=yes; shift; }
[ $# -gt 0 ] || fail "name the programs"

# The files of one program, the link first.
files() {
	echo "$prefix/bin/kubectl_complete-${1#kubectl-}"
	echo "$prefix/bin/$1"
	echo "$prefix/share/man/man1/$1.1"
	echo "$prefix/share/bash-completion/completions/$1"
	echo "$prefix/share/zsh/site-functions/_$1"
	echo "$prefix/share/fish/vendor_completions.d/$1.fish"
}

# Everything is looked at before anything is changed.
for program in "$@"; do
	[ -n "$remove" ] || [ -x "$built/$program" ] || fail "$built/$program is not there; run make build"
	files "$program" | while IFS= read -r file; do
		[ ! -d "$file" ] || fail "$file is a folder, and not from here"
		case $file in
		*/kubectl_complete-*)
			[ ! -e "$file" ] || [ -L "$file" ] || fail "$file is not the link that make install makes; move it away"
			;;
		esac
	done
done

# Never through a link that somebody has put there.
put() { # mode, file; content on stdin
	cat >"$2.part$$"
	chmod "$1" "$2.part$$"
	mv -f "$2.part$$" "$2"
}

for program in "$@"; do
	if [ -n "$remove" ]; then
		files "$program" | while IFS= read -r file; do rm -f "$file"; done
		continue
	fi
	files "$program" | while IFS= read -r file; do mkdir -p "${file%/*}"; done
	put 0755 "$prefix/bin/$program" <"$built/$program"
	# kubectl asks a program of this name; the plugin knows by its name what it is called for.
	ln -sf "$program" "$prefix/bin/kubectl_complete-${program#kubectl-}"
	version=$("$built/$program" --version) || fail "$built/$program does not run"
	page=$("$built/$program" __manual) || fail "$built/$program prints no manual page"
	echo "$page" | put 0644 "$prefix/share/man/man1/$program.1"
	for shell in bash zsh fish; do
		script=$("$built/$program" completion $shell) || fail "$built/$program prints no completion for $shell"
		case $shell in
		bash) file=$prefix/share/bash-completion/completions/$program ;;
		zsh) file=$prefix/share/zsh/site-functions/_$program ;;
		fish) file=$prefix/share/fish/vendor_completions.d/$program.fish ;;
		esac
		echo "$script" | put 0644 "$file"
	done
	echo "installed $prefix/bin/$program (${version#* })"
done

[ -n "$remove" ] || [ -n "${DESTDIR:-}" ] || case ":$PATH:" in
*":$prefix/bin:"*) ;;
*) echo "note: $prefix/bin is not on PATH" >&2 ;;
esac
