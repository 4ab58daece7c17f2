# The front door: what CI runs is here. `make help` lists it.
SHELL := /bin/bash
.DEFAULT_GOAL := help

.PHONY: help demo demo-cluster test test-backends shim image image-check check bench advisories accept record record-runs

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile

demo: ## Show the main job without a cluster: dry-run, then a webhook asked over TLS
	@scripts/demo

demo-cluster: ## A real cluster, the chart, a pipeline of agents on it, and all that is seen of it (as root)
	@scripts/demo-cluster

test: ## Everything that can be tested, a real API server included; builds what is missing once
	@scripts/test

test-backends: ## What Jaeger and Prometheus show of runs on a real node, behind the Collector as it is shipped (as root)
	@scripts/test-backends

shim: ## Build the static shim as it goes into pods; prints its path
	@scripts/shim

image: ## The container image as an archive, without any engine, and bills of materials; prints its path
	@scripts/image

image-check: ## Build the image twice, in places that have nothing in common, and compare every byte
	@scripts/image-check

check: ## Format, lints, the pure core alone, licences, bans and sources
	@scripts/check

bench: ## Ratios against floors and peers, side by side, written to docs/benchmarks.md
	@scripts/bench

advisories: ## Known vulnerabilities of dependencies (fetches the advisory database)
	@scripts/deny advisories

accept: ## Rewrite the golden files of tests/cases, tests/chart and tests/cmd; read the diff afterwards
	ACCEPT=1 TRYCMD=overwrite cargo test --test main

record: ## Record anew what a real API server sends (tests/recorded)
	@scripts/cluster-tools api
	rm -f tests/recorded/*.json
	STEPSPAN_RECORD=$(CURDIR)/tests/recorded cargo test --test cluster -- injection

record-runs: ## Record anew what the real controller made of the Workflows kept in tests/runs (as root)
	@scripts/cluster-tools node
	@scripts/image >/dev/null
	STEPSPAN_RECORD_RUNS=$(CURDIR)/tests/runs cargo test --test cluster -- fidelity
	STEPSPAN_RECORD_RUNS=$(CURDIR)/tests/runs cargo test --test cluster -- node::parity
