# `make` lists the targets. scripts/settings gives them .env.development, overridden by .env.local.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help dev test lint fmt bench delivery soak fuzz

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

dev: ## build, start sandbox, gateway and web, and say where to look
	@scripts/dev

test: ## run every test, in a real browser too
	@scripts/test

lint: ## check format, lints and the house rules
	@scripts/lint

fmt: ## format the Rust code
	cargo fmt --all

bench: ## measure the latency, the cost of an event, and ten thousand streams that come back
	cargo bench --locked --bench latency --bench cost --bench stampede

delivery: ## kill, stop and stall everything while events flow, and print what was lost: minutes
	cargo test --locked --test delivery -- --exact the_long_table --ignored --nocapture

soak: ## keep client libraries connected to the sandbox through faults: ten minutes, or SOAK_S seconds
	cargo test --locked -p guildstream-sandbox --test sandbox -- soak:: --ignored --nocapture

fuzz: ## drive each fuzz target for FUZZ_S seconds (60); needs nightly and cargo-fuzz
	@scripts/fuzz
