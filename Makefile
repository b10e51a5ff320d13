# The one entry point for people. `make help` lists what there is.

CARGO  ?= cargo
PREFIX ?= $(HOME)/.local
BIN    := $(PREFIX)/bin

# Tests mostly wait for controllers, so that more of them than there are cores run at the same time.
export RUST_TEST_THREADS ?= $(shell n=$$(nproc 2>/dev/null || echo 4); [ "$$n" -gt 4 ] && echo "$$n" || echo 4)

.DEFAULT_GOAL := help
.PHONY: help demo test build lint bench testbed install clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: testbed ## Show the main job on a throw-away control plane
	@$(CARGO) build --locked --workspace --bins
	@"$${CARGO_TARGET_DIR:-target}/debug/demo"

test: testbed ## Run all tests, against real servers
	@# Those of finalize wait even more than the others.
	@status=0; \
	$(CARGO) test --locked --workspace --exclude kubectl-finalize --no-fail-fast || status=$$?; \
	RUST_TEST_THREADS=$$((RUST_TEST_THREADS * 3 / 2)) $(CARGO) test --locked -p kubectl-finalize --no-fail-fast || status=$$?; \
	exit $$status

build: ## Build the plugins (target/release)
	$(CARGO) build --locked --release -p kubectl-evacuate -p kubectl-finalize

lint: ## Check format, lints and docs
	$(CARGO) fmt --all -- --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings -A rustdoc::private-intra-doc-links" $(CARGO) doc --locked --workspace --no-deps --document-private-items

bench: testbed build ## Measure beside what people use instead, on the same servers
	$(CARGO) run --locked --release -p testsupport --bin bench

testbed: ## Build the real servers that tests and demo need, once
	@command -v $(CARGO) >/dev/null || { echo "error: cargo was not found; install Rust: https://rustup.rs" >&2; exit 1; }
	@tests/testbed/build.sh

install: build ## Install into PREFIX/bin (~/.local/bin), with shell completion for kubectl
	@mkdir -p "$(BIN)"
	install -m 0755 target/release/kubectl-evacuate target/release/kubectl-finalize "$(BIN)"
	@# kubectl asks a program of this name for completions; the plugin knows by its name what it is called for.
	ln -sfn kubectl-evacuate "$(BIN)/kubectl_complete-evacuate"
	ln -sfn kubectl-finalize "$(BIN)/kubectl_complete-finalize"
	@case ":$$PATH:" in *":$(BIN):"*) ;; *) echo "note: $(BIN) is not on PATH" >&2 ;; esac

clean: ## Remove all that was built, the servers too
	$(CARGO) clean
