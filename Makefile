# The one entry point for people. `make help` lists what there is.

CARGO  ?= cargo
PREFIX ?= $(HOME)/.local

# One folder each. kubectl finds kubectl-cni_purge, never kubectl-cni-purge.
PLUGINS  := $(notdir $(wildcard plugins/*))
PACKAGES := $(addprefix -p kubectl-,$(PLUGINS))
PROGRAMS := $(addprefix kubectl-,$(subst -,_,$(PLUGINS)))

# Tests mostly wait for controllers, so that more of them than there are cores run at the same time.
export RUST_TEST_THREADS ?= $(shell n=$$(nproc 2>/dev/null || echo 4); [ "$$n" -gt 4 ] && echo "$$n" || echo 4)

.DEFAULT_GOAL := help
.PHONY: help demo test build lint bench testbed install uninstall dist reproduce krew bump examples clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: testbed ## Show the main job on a throw-away control plane
	@$(CARGO) build --locked --workspace --bins
	@"$${CARGO_TARGET_DIR:-target}/debug/demo"

test: testbed ## Run all tests, against real servers
	@# Those of finalize wait even more than the others. Those of release take the programs that are built for all before.
	@status=0; \
	$(CARGO) test --locked --workspace --exclude kubectl-finalize --exclude release --no-fail-fast || status=$$?; \
	RUST_TEST_THREADS=$$((RUST_TEST_THREADS * 2)) $(CARGO) test --locked -p kubectl-finalize -p release --no-fail-fast || status=$$?; \
	exit $$status

build: ## Build the plugins (target/release)
	$(CARGO) build --locked --release $(PACKAGES)

lint: ## Check format, lints and docs
	$(CARGO) fmt --all -- --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings -A rustdoc::private-intra-doc-links" $(CARGO) doc --locked --workspace --no-deps --document-private-items

bench: testbed build ## Measure beside what people use instead, on the same servers
	$(CARGO) run --locked --release -p testsupport --bin bench

testbed: ## Build the real servers that tests and demo need, once
	@command -v $(CARGO) >/dev/null || { echo "error: cargo was not found; install Rust: https://rustup.rs" >&2; exit 1; }
	@tests/testbed/build.sh

install: build ## Install into PREFIX (~/.local): programs, completion for kubectl and shells, manual pages
	@PREFIX="$(DESTDIR)$(PREFIX)" release/install.sh $(PROGRAMS)

uninstall: ## Remove what make install has installed
	@PREFIX="$(DESTDIR)$(PREFIX)" release/install.sh --remove $(PROGRAMS)

dist: ## Build the archives of a release, for all platforms whose compilers are here
	@$(CARGO) run --locked --quiet -p release -- dist

reproduce: dist ## Build them once more in another folder, and compare
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && git clone --quiet . "$$folder/elsewhere" && \
	mkdir "$$folder/elsewhere/target" && ln -s "$$PWD/target/tools" "$$folder/elsewhere/target/tools" && \
	env -u CARGO_TARGET_DIR $(MAKE) --no-print-directory -C "$$folder/elsewhere" dist && \
	diff dist/SHA256SUMS "$$folder/elsewhere/dist/SHA256SUMS" && echo "the same bytes"

krew: testbed dist ## Write krew-manifests/ for them, and install them with the real krew
	@$(CARGO) run --locked --quiet -p release -- manifests
	@UPKEEP_DIST=dist $(CARGO) test --locked -p release --test krew

bump: ## Write down and commit a new version: make bump VERSION=1.2.3
	@changes=$$(git status --porcelain) && test -z "$$changes" || { echo "error: there are changes that are not committed" >&2; exit 1; }
	@$(CARGO) run --locked --quiet -p release -- bump "$(VERSION)"
	@git commit --quiet --all --message="Version $(VERSION)" && git log -1 --stat

examples: testbed ## Record the worked examples of the docs anew
	@$(CARGO) build --locked $(PACKAGES)
	@UPKEEP_RECORD=1 $(CARGO) test --locked -p release --test docs examples

clean: ## Remove all that was built, the servers too
	$(CARGO) clean
