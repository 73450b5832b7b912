# The swarm tools. `make` alone lists what it can do.

PREFIX ?= /usr/local
DESTDIR ?=

# rustup puts cargo where a login shell looks, and no other.
export PATH := $(PATH):$(HOME)/.cargo/bin

# A program is what has completions: the generator's list (tests/src/docs.rs) is the only one.
TOOLS := $(notdir $(wildcard completions/bash/*))
SCRIPTS = $(wildcard .ci/* bench/run fuzz/run examples/*.sh) examples/pre-commit
BUILT = $(abspath $(or $(CARGO_TARGET_DIR),target))

# "yes" where a target's standard library is there, or rustup can bring it. Evaluated only where it is used: it may download.
has = $(shell rustup target add $(1) >/dev/null 2>&1; test -d "$$(rustc --print target-libdir --target $(1) 2>/dev/null)" && echo yes)

.PHONY: help demo test bench lint fuzz man torture audit build install uninstall

help:
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{ printf "%-18s %s\n", $$1, $$2 }'

demo: ## Build, then play a short scene: agents that talk, in a tmux and a store of its own
	@.ci/need cc jq tmux
	cargo build --locked
	PATH="$(BUILT)/debug:$$PATH" sh examples/demo.sh

test: ## Run all tests; what they need is installed, or named
	@.ci/need cc bash git jq groff tmux pkill
	cargo test --workspace --locked

bench: ## Measure against what else people use; results go to bench/runs
	@.ci/need cc jq tmux
	bench/run

lint: ## Format, clippy, documentation, the macOS build, shell scripts
	@.ci/need cc
	@cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 || rustup component add rustfmt clippy
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo fmt --manifest-path bench/Cargo.toml --check
	cargo clippy --manifest-path bench/Cargo.toml --all-targets --locked -- -D warnings
	cargo fmt --manifest-path fuzz/Cargo.toml --check
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --locked --quiet
	$(if $(call has,aarch64-apple-darwin),cargo check --workspace --locked --target aarch64-apple-darwin,\
		@echo 'SKIPPED: the macOS check, for rustup cannot add the target aarch64-apple-darwin here')
	@for script in $(SCRIPTS); do \
		case $$(head -n 1 $$script) in *bash) shell=bash ;; *) shell=sh ;; esac; \
		echo "$$shell -n $$script"; $$shell -n $$script || exit 1; \
	done
	@if command -v shellcheck >/dev/null; then echo shellcheck $(SCRIPTS); shellcheck $(SCRIPTS); \
	else echo 'SKIPPED: shellcheck, which is not installed'; fi

fuzz: ## Fuzz the parsers for a while (needs a nightly compiler)
	fuzz/run

man: ## Make the man pages and completions anew
	cargo run --locked --quiet --package swarm-tests --bin swarm-docs

torture: ## The long version of the tests that kill: ten thousand kills
	@.ci/need cc jq
	cargo test --locked --package swarm-tests --release -- --ignored torture

audit: ## Licences, sources and known faults of the dependencies (needs cargo-deny)
	@cargo deny --version >/dev/null 2>&1 || { echo 'audit: needs cargo-deny: cargo install --locked cargo-deny' >&2; exit 1; }
	cargo deny --locked check licenses bans sources
	@if cargo deny --locked fetch db >/dev/null 2>&1; then echo cargo deny --locked check advisories; cargo deny --locked check advisories; \
	else echo 'SKIPPED: advisories, for their database cannot be fetched here'; fi

# A static binary needs nothing of the machine it runs on, and starts twice as fast. musl where its target can be had (a distribution's Rust has
# no rustup), else the host's C library, linked in. On macOS, which has no static C library, it is the host's target as it is.
HOST = $(shell rustc -vV | sed -n 's/^host: //p')
MUSL = $(filter %-musl,$(HOST:-gnu=-musl))
TARGET = $(if $(and $(MUSL),$(call has,$(MUSL))),$(MUSL),$(HOST))
STATIC = $(if $(filter %-gnu,$(1)),RUSTFLAGS='$(strip $(RUSTFLAGS) -C target-feature=+crt-static)')

build: ## Build the static release binaries
	@.ci/need cc
	$(eval BUILT_FOR := $(TARGET))
	$(call STATIC,$(BUILT_FOR)) cargo build --release --locked --target $(BUILT_FOR) $(TOOLS:%=--package %)

BIN = $(DESTDIR)$(PREFIX)/bin
SHARE = $(DESTDIR)$(PREFIX)/share
BASH_DIR = $(SHARE)/bash-completion/completions
ZSH_DIR = $(SHARE)/zsh/site-functions
FISH_DIR = $(SHARE)/fish/vendor_completions.d

install: build ## Build and install programs, man pages and completions (PREFIX=/usr/local, DESTDIR=)
	install -d $(BIN) $(SHARE)/man/man1 $(SHARE)/man/man7 $(BASH_DIR) $(ZSH_DIR) $(FISH_DIR)
	install -m 755 $(TOOLS:%=$(BUILT)/$(BUILT_FOR)/release/%) $(BIN)
	install -m 644 $(wildcard man/*.1) $(SHARE)/man/man1
	install -m 644 $(wildcard man/*.7) $(SHARE)/man/man7
	install -m 644 $(wildcard completions/bash/*) $(BASH_DIR)
	install -m 644 $(wildcard completions/zsh/*) $(ZSH_DIR)
	install -m 644 $(wildcard completions/fish/*) $(FISH_DIR)

uninstall: ## Remove what install installed (the same PREFIX and DESTDIR)
	rm -f $(TOOLS:%=$(BIN)/%)
	rm -f $(patsubst man/%,$(SHARE)/man/man1/%,$(wildcard man/*.1)) $(patsubst man/%,$(SHARE)/man/man7/%,$(wildcard man/*.7))
	rm -f $(patsubst completions/bash/%,$(BASH_DIR)/%,$(wildcard completions/bash/*))
	rm -f $(patsubst completions/zsh/%,$(ZSH_DIR)/%,$(wildcard completions/zsh/*))
	rm -f $(patsubst completions/fish/%,$(FISH_DIR)/%,$(wildcard completions/fish/*))
