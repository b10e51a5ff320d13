#!/bin/sh
# Installs what was built into PREFIX, or removes it: programs, the names by which kubectl asks for completions, completion scripts,
# manual pages.
#
#   PREFIX=DIR release/install.sh [--remove] PROGRAM...
set -eu
cd "$(dirname "$0")/.."
built=${CARGO_TARGET_DIR:-target}/release
bin=$PREFIX/bin
man=$PREFIX/share/man/man1
bash=$PREFIX/share/bash-completion/completions
zsh=$PREFIX/share/zsh/site-functions
fish=$PREFIX/share/fish/vendor_completions.d

remove=
[ "${1:-}" != --remove ] || { remove=yes; shift; }

for program in "$@"; do
	# kubectl asks a program of this name; the plugin knows by its name what it is called for.
	complete=kubectl_complete-${program#kubectl-}
	if [ -n "$remove" ]; then
		rm -f "$bin/$program" "$bin/$complete" "$man/$program.1" "$bash/$program" "$zsh/_$program" "$fish/$program.fish"
		continue
	fi
	mkdir -p "$bin" "$man" "$bash" "$zsh" "$fish"
	install -m 0755 "$built/$program" "$bin/$program"
	ln -sfn "$program" "$bin/$complete"
	"$built/$program" __manual >"$man/$program.1"
	"$built/$program" completion bash >"$bash/$program"
	"$built/$program" completion zsh >"$zsh/_$program"
	"$built/$program" completion fish >"$fish/$program.fish"
	echo "installed $bin/$program ($("$built/$program" --version | cut -d' ' -f2-))"
done

[ -n "$remove" ] || case ":$PATH:" in
*":$bin:"*) ;;
*) echo "note: $bin is not on PATH" >&2 ;;
esac
