#!/usr/bin/env bash
# Builds the real servers of the test bed, each once, and links them into target/testbed/bin.
#
# What is built is kept under a name made from everything that goes into it (module files and flags),
# so a second run does nothing and a changed go.mod builds exactly what changed. Fitting programs that are
# already there are taken instead: first from $KUBEBUILDER_ASSETS, then from PATH.
#
#   TESTBED_FORCE_BUILD=1   build all, whatever is installed
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
bed=$(cd "$here/../.." && pwd)/target/testbed
store=$bed/store
bin=$bed/bin
min_free_mib=4096

kube=v1.36.3
kube_flags="-s -w -X k8s.io/component-base/version.gitVersion=$kube"
kube_flags+=" -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=36"
kube_flags+=" -X k8s.io/client-go/pkg/version.gitVersion=$kube"

# binary | module folder | package | linker flags | what the version output of a fitting installed one contains
programs=(
	"etcd|etcd|go.etcd.io/etcd/server/v3|-s -w|etcd Version: 3.6."
	"etcdctl|etcd|go.etcd.io/etcd/etcdctl/v3|-s -w|etcdctl version: 3.6."
	"kwok|kwok|sigs.k8s.io/kwok/cmd/kwok|-s -w|v0.8."
	"kube-apiserver|kubernetes|k8s.io/kubernetes/cmd/kube-apiserver|$kube_flags|Kubernetes v1.36."
	"kube-controller-manager|kubernetes|k8s.io/kubernetes/cmd/kube-controller-manager|$kube_flags|Kubernetes v1.36."
	"kube-scheduler|kubernetes|k8s.io/kubernetes/cmd/kube-scheduler|$kube_flags|Kubernetes v1.36."
	"kubectl|kubernetes|k8s.io/kubernetes/cmd/kubectl|$kube_flags|Client Version: v1.36."
	"krew|krew|sigs.k8s.io/krew/cmd/krew|-s -w|GitTag v0.5."
	"validate-krew-manifest|krew|sigs.k8s.io/krew/cmd/validate-krew-manifest|-s -w|no version"
)

say() { printf 'testbed: %s\n' "$*" >&2; }
die() {
	printf 'testbed: error: %s\n' "$1" >&2
	shift
	for hint in "$@"; do printf 'testbed: hint: %s\n' "$hint" >&2; done
	exit 1
}

hash_of() { # folder, flags
	{
		cat "$here/$1/go.mod" "$here/$1/go.sum"
		printf '%s\n' "$2" "CGO_ENABLED=0 -trimpath"
	} | sha256sum | cut -c1-16
}

version_of() { # name, path
	case $1 in
	etcdctl) "$2" version ;;
	kubectl) "$2" version --client ;;
	krew) "$2" version | tr -s ' ' ;;
	validate-krew-manifest) ;;
	*) "$2" --version ;;
	esac 2>/dev/null || true
}

installed() { # name, wanted version text; prints the path of a fitting program
	local candidate
	[ -z "${TESTBED_FORCE_BUILD:-}" ] || return 1
	for candidate in "${KUBEBUILDER_ASSETS:+$KUBEBUILDER_ASSETS/$1}" "$(command -v "$1" || true)"; do
		if [ -n "$candidate" ] && [ -x "$candidate" ] && [[ $(version_of "$1" "$candidate") == *"$2"* ]]; then
			realpath "$candidate"
			return 0
		fi
	done
	return 1
}

need_go() {
	command -v go >/dev/null || die "Go is needed to build the servers and was not found on PATH" \
		"install Go 1.21 or newer (it fetches the exact version named in go.mod by itself): https://go.dev/dl/" \
		"or set KUBEBUILDER_ASSETS to a folder with fitting programs (etcd 3.6, Kubernetes 1.36, kwok 0.8)"
}

need_space() {
	local free
	free=$(df -Pm "$bed" | awk 'NR == 2 { print $4 }')
	[ "$free" -ge "$min_free_mib" ] || die "only $free MiB are free in $bed; a cold build needs $min_free_mib MiB" \
		"free some space, or move Go's cache elsewhere with GOCACHE"
}

explain_failure() { # log
	if grep -qiE 'no space left on device' "$1"; then
		die "the disk is full" "free some space and run make testbed again; finished programs are kept"
	elif grep -qiE 'dial tcp|no such host|i/o timeout|TLS handshake|connection re(fused|set)|proxyconnect|network is unreachable' "$1"; then
		die "modules could not be downloaded" "check the network, or set GOPROXY to a module proxy you can reach"
	elif grep -qiE 'toolchain not available|requires go >=' "$1"; then
		die "this Go is too old and could not fetch a newer one" "install the Go version that go.mod names"
	fi
	die "go build failed; the whole output is above"
}

build() { # name, folder, package, flags, target
	local log part="$5.part.$$" started=$SECONDS status=0
	mkdir -p "$(dirname "$5")"
	log=$(mktemp)
	(cd "$here/$2" && CGO_ENABLED=0 GOFLAGS="-mod=readonly -buildvcs=false" \
		go build -trimpath -ldflags "$4" -o "$part" "$3") >"$log" 2>&1 &
	local pid=$!
	trap 'kill "$pid" 2>/dev/null || true; rm -f "$part" "$log"; exit 130' INT TERM HUP
	while kill -0 "$pid" 2>/dev/null; do
		sleep 0.2
		if [ -t 2 ]; then
			printf '\rtestbed:   %d s ' $((SECONDS - started)) >&2
		elif [ $(((SECONDS - started) % 60)) -eq 59 ]; then
			say "  still building $1 ($((SECONDS - started)) s)"
			sleep 1
		fi
	done
	wait "$pid" || status=$?
	trap - INT TERM HUP
	[ ! -t 2 ] || printf '\r\033[K' >&2
	if [ "$status" -ne 0 ]; then
		cat "$log" >&2
		rm -f "$part"
		explain_failure "$log"
	fi
	rm -f "$log"
	mv "$part" "$5"
	say "  done in $((SECONDS - started)) s"
}

mkdir -p "$store" "$bin"
# Two runs at once (two terminals, an editor) wait for each other instead of building twice.
exec 9>"$bed/lock"
flock -n 9 || { say "another build is running, waiting for it"; flock 9; }

missing=()
for program in "${programs[@]}"; do
	IFS='|' read -r name folder package flags wanted <<<"$program"
	target=$store/$name-$(hash_of "$folder" "$flags")/$name
	if [ -x "$target" ] && [ -z "${TESTBED_FORCE_BUILD:-}" ]; then
		touch "${target%/*}"
		ln -sfn "$target" "$bin/$name"
	elif found=$(installed "$name" "$wanted"); then
		[ "$(readlink "$bin/$name" || true)" = "$found" ] || say "using $found"
		ln -sfn "$found" "$bin/$name"
	else
		missing+=("$name|$folder|$package|$flags|$target")
	fi
done

if [ ${#missing[@]} -gt 0 ]; then
	need_go
	need_space
	say "building ${#missing[@]} of ${#programs[@]} programs, once; a cold build of all takes 11 to 15 minutes on 2 cores"
	number=0
	for program in "${missing[@]}"; do
		IFS='|' read -r name folder package flags target <<<"$program"
		number=$((number + 1))
		say "$number/${#missing[@]} $name ($package)"
		build "$name" "$folder" "$package" "$flags" "$target"
		ln -sfn "$target" "$bin/$name"
	done
	say "all servers are in $bin"
fi

# What no branch has asked for in a month goes.
find "$store" -mindepth 1 -maxdepth 1 -mtime +30 -exec rm -rf {} +
