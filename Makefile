# The whole command vocabulary. Whatever needs more than a line lives in .ci/.
SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: setup demo build test test-slow lint fuzz bench envoy ci clean help
MAKEFLAGS   += --no-print-directory

TARGET := $(abspath $(or $(CARGO_TARGET_DIR),target))
GUEST  := $(TARGET)/wasm32-unknown-unknown/guest/attache.wasm
export CARGO_TARGET_DIR := $(TARGET)

# Recorded provider traffic is not part of the repository; tests say aloud when it is absent.
ifndef ATTACHE_RECORDINGS
ifneq ($(wildcard ../shared/recordings),)
export ATTACHE_RECORDINGS := $(abspath ../shared/recordings)
endif
endif

setup: ## install what is missing: wasm target, Envoy, clients for tests; no network when all is there
	@.ci/setup.sh

demo: build ## Envoy, filter, sidecar, a mock provider and an outage (KEEP=1 leaves it up; STORY=outage pulls every plug)
	@KEEP=$(KEEP) STORY=$(STORY) .ci/demo.sh

build: ## native programs and the guest, attache.wasm
	@.ci/setup.sh build
	@cargo build --quiet --workspace --exclude filter --bins
	@.ci/guest.sh
	@printf 'build: %s, %s bytes\n' "$(GUEST)" "$$(stat -c %s "$(GUEST)")"

test: setup build ## every test, those through the real Envoy included
	@.ci/test.sh

test-slow: setup build ## the slow tier: hostile tenants and providers beside a victim, some minutes
	@.ci/test.sh slow

lint: setup ## formatting, clippy, documentation; licences and sources when cargo-deny is there
	@.ci/lint.sh

fuzz: build ## every fuzz target for SECONDS_EACH (default 60) seconds
	@.ci/fuzz.sh

bench: build ## CPU, latency and instructions of a request against bare Envoy; writes bench/results/
	@.ci/bench.sh

envoy: build ## write anew whatever is generated: envoy/, the JSON Schema, the documents that tests check
	@.ci/envoy.sh

ci: lint test ## what the continuous integration runs

clean: ## remove what build and demo made; Envoy in .venv stays
	@rm -rf "$(TARGET)" .demo

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
