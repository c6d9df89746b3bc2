# `make` lists the targets. Recipes see the settings of .env.development, overridden by .env.local.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help dev test lint fmt bench

with_settings := set -a; . ./.env.development; if [ -f .env.local ]; then . ./.env.local; fi; set +a;

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-6s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

dev: ## build, start sandbox, gateway and web, and say where to look
	@$(with_settings) scripts/dev

test: ## run every test, in a real browser too
	@scripts/test

lint: ## check format, lints and the house rules
	@scripts/lint

fmt: ## format the Rust code
	cargo fmt --all

bench: ## measure latency and fan-out on this machine
	@$(with_settings) scripts/bench
