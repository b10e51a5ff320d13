#!/usr/bin/env bash
# Builds the servers of another release of Kubernetes beside those of the test bed, to run the tests with them:
#
#   tests/testbed/other-release.sh 1.34.4
#   TESTBED_BIN=$PWD/target/testbed/kubernetes-1.34.4 make test
#
# Their modules are those that the release itself names, and are checked against Go's checksum database.
set -euo pipefail
die() { echo "error: $1" >&2; exit "${2:-1}"; }
[ $# -eq 1 ] || die "usage: other-release.sh 1.34.4" 2
version=$1
[[ $version =~ ^1\.([0-9]+)\.[0-9]+$ ]] || die "$version is no release; write it as 1.34.4" 2
command -v go >/dev/null || die "Go is needed to build the servers and was not found on PATH"
minor=${BASH_REMATCH[1]}
bed=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)/target/testbed
bin=$bed/kubernetes-$version
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

module=$(GOFLAGS=-mod=mod go mod download -json "k8s.io/kubernetes@v$version") || die "Kubernetes $version cannot be had: $module"
kubernetes=$(sed -n 's/^\t"GoMod": "\(.*\)",$/\1/p' <<<"$module")
programs=(kube-apiserver kube-controller-manager kube-scheduler kubectl)
{
	echo "module testbed/kubernetes"
	grep '^go ' "$kubernetes"
	echo "require k8s.io/kubernetes v$version"
	# What lies in the repository of Kubernetes itself is published apart, under its own number.
	sed -n 's|^\t\(k8s.io/[a-z-]*\) v0.0.0$|\1|p' "$kubernetes" | while read -r module; do
		echo "replace $module => $module v0.${version#1.}"
	done
	printf 'tool k8s.io/kubernetes/cmd/%s\n' "${programs[@]}"
} >go.mod
go mod tidy -e >tidy.log 2>&1 || true # Modules of other systems are not always to be had.

mkdir -p "$work/bin"
flags="-s -w -X k8s.io/component-base/version.gitVersion=v$version -X k8s.io/component-base/version.gitMajor=1"
flags+=" -X k8s.io/component-base/version.gitMinor=$minor -X k8s.io/client-go/pkg/version.gitVersion=v$version"
for program in "${programs[@]}"; do
	echo "testbed: $program v$version" >&2
	CGO_ENABLED=0 go build -mod=mod -trimpath -buildvcs=false -ldflags "$flags" -o "$work/bin/$program" "k8s.io/kubernetes/cmd/$program"
done
mkdir -p "$bin"
mv -f "$work"/bin/* "$bin/"
# The others are those of the test bed.
for program in "$bed"/bin/*; do
	[ -e "$bin/${program##*/}" ] || ln -s "$(readlink -f "$program")" "$bin/"
done
echo "$bin"
