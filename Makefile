# `make help` lists the targets. Needed on a fresh machine: Python 3.11+, make, git.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PY := $(BIN)/python
READY := $(VENV)/.ready
UV_VERSION := 0.13.9

.PHONY: help
help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

# Hard links into a cache are refused by nltk, which llama-index-core loads its stop words with.
export UV_LINK_MODE := copy

$(READY): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "llama70b needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install -q --disable-pip-version-check uv==$(UV_VERSION)
	$(BIN)/uv pip install -q --python $(PY) --require-hashes -r requirements/dev.txt
	$(BIN)/uv pip install -q --python $(PY) --no-deps --no-build-isolation -e .
	@touch $(READY)

.PHONY: env
env: $(READY) ## the environment, from pinned requirements

.PHONY: demo
demo: $(READY) ## the main job: a syllogism through the bare model and both agents (BASE_URL=... API_KEY=... for your own endpoint)
	@$(if $(API_KEY),LLAMA70B_API_KEY="$(API_KEY)") $(PY) -m llama70b.demo $(if $(BASE_URL),--base-url "$(BASE_URL)") $(if $(MODEL),--model "$(MODEL)")

.PHONY: test
test: lint types test-unit test-fault test-server test-engines ## everything CI runs

.PHONY: lint
lint: $(READY) ## ruff, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

.PHONY: types
types: $(READY) ## mypy --strict; typical user code under mypy and pyright, both strict
	$(BIN)/mypy
	$(PY) -m pytest -q tests/types

# Pure modules: everything that decides something and does no I/O.
PURE := llama70b/types.py,llama70b/errors.py,llama70b/endpoint.py,llama70b/_secret.py,llama70b/_wire.py,llama70b/_sse.py
PURE := $(PURE),llama70b/_assemble.py,llama70b/_status.py,llama70b/_retry.py,llama70b/_coldstart.py,llama70b/_history.py
PURE := $(PURE),llama70b/_flow.py,llama70b/_wake.py,llama70b/_ops.py,llama70b/_observe.py,llama70b/_recording.py
PURE := $(PURE),llama70b/_call.py,llama70b/_granted.py,llama70b/_cost.py,llama70b/cost/*,llama70b/routing/*,llama70b/syllogism/*

.PHONY: test-unit
# Where the pure modules are tested: run alone for their coverage, the rest on two workers.
PURE_TESTS := tests/unit/core tests/unit/syllogism tests/unit/routing tests/unit/cost tests/unit/test_round_trips.py
test-unit: $(READY) ## unit tests, with coverage of the pure modules
	$(BIN)/coverage run -m pytest -q $(PURE_TESTS)
	$(BIN)/coverage report --fail-under=95 --include='$(PURE)'
	$(PY) -m pytest -q -n 2 tests/unit $(addprefix --ignore ,$(PURE_TESTS))
	$(PY) -m pytest -q -m "not engine" tests/docs tests/notebooks

.PHONY: test-fault
test-fault: $(READY) ## the fault server's cases
	$(PY) -m pytest -q tests/fault

# The server's own environment: it never shares one with the client.
SERVER_VENV := .venv-server
SERVER_PY := $(SERVER_VENV)/bin/python

$(SERVER_VENV)/.ready: $(READY) requirements/server.txt
	@test -x $(SERVER_PY) || $(PYTHON) -m venv $(SERVER_VENV)
	$(BIN)/uv pip install -q --python $(SERVER_PY) --require-hashes -r requirements/server.txt
	@touch $@

.PHONY: test-server
test-server: $(SERVER_VENV)/.ready ## the deployment on a fake control plane, the gateway, the life of an engine
	$(BIN)/mypy --python-executable $(SERVER_PY) --explicit-package-bases server benchmarks/serve
	$(SERVER_PY) -m pytest -q tests/server

.PHONY: test-engines
test-engines: $(READY) vllm-env ## both adapters on the local engine and on vLLM
	$(PY) -m pytest -q tests/engines tests/conformance

.PHONY: test-notebooks
test-notebooks: $(READY) ## the tutorials, from top to bottom on one local engine (not in CI: 5 to 13 minutes)
	$(PY) -m pytest -q tests/notebooks

.PHONY: docs
docs: $(READY) ## the documentation in site/, with the tutorials run on the local engine
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict -q
	$(PY) -m tests.notebooks.render site/tutorials

.PHONY: test-docs
test-docs: $(READY) ## code blocks, commands and links of README and docs (CI leaves out the blocks that need an engine)
	$(PY) -m pytest -q tests/docs

.PHONY: test-versions
test-versions: $(READY) ## the adapters' unit tests on the lowest, the newest and the coming versions of both frameworks
	$(PY) -m tests.versions.run

.PHONY: conformance
conformance: $(READY) peers-env vllm-env ## docs/conformance.md: ours and the peers through the same suites on the same servers
	$(PY) -m tests.conformance.table

.PHONY: test-fast
test-fast: $(READY) ## the inner loop: no engine, no processes, nothing slow
	$(BIN)/ruff check -q .
	$(BIN)/lint-imports --no-cache >/dev/null
	$(PY) -m pytest -q -n 2 --benchmark-disable -m "not slow and not engine and not vllm" tests/unit \
	  --ignore tests/unit/local --ignore tests/unit/cli/test_process.py

.PHONY: fault-table
fault-table: $(READY) ## docs/reliability.md, from the fault tests' own results
	$(PY) -m tests.fault.table

.PHONY: fault-peers
fault-peers: peers-env ## docs/data/fault_peers.json: what ChatOpenAI and OpenAILike make of the same faults
	$(PEERS_PY) -m tests.fault.peers

.PHONY: bench
bench: peers-env ## docs/performance.md: CPU a chunk, imports, memory, beside the peers (an idle machine; a quarter of an hour)
	$(PY) -m benchmarks.client --json benchmarks/client/results/latest.json --doc docs/performance.md

.PHONY: bench-routing
bench-routing: $(READY) ## windows against the best grid, the ledger's overhead
	$(PY) -m benchmarks.routing.windows
	$(PY) -m benchmarks.routing.overhead

.PHONY: fuzz
fuzz: $(READY) ## twelve minutes of coverage-guided fuzzing: decoder, assembler, error bodies (not in CI)
	$(PY) -m tests.fuzz 720

.PHONY: soak
soak: $(READY) ## 20,000 requests each way at concurrency 64, one in twenty goes wrong (not in CI)
	$(PY) -m tests.soak.run

.PHONY: vllm-env
vllm-env: $(READY) ## vLLM on CPU in an environment of its own, outside the tree
	$(PY) -m tests.engines.vllm_cpu build

# The peers' environment: the comparisons only (conformance, fault table, benchmarks).
PEERS_VENV := .venv-peers
PEERS_PY := $(PEERS_VENV)/bin/python

$(PEERS_VENV)/.ready: $(READY) requirements/peers.txt
	@test -x $(PEERS_PY) || $(PYTHON) -m venv $(PEERS_VENV)
	$(BIN)/uv pip install -q --python $(PEERS_PY) --require-hashes -r requirements/peers.txt
	$(BIN)/uv pip install -q --python $(PEERS_PY) --no-deps --no-build-isolation -e .
	@touch $@

.PHONY: peers-env
peers-env: $(PEERS_VENV)/.ready ## ChatOpenAI, ChatLlama, OpenAILike, VllmServer beside ours, for the comparisons

.PHONY: format
format: $(READY) ## ruff format and its safe fixes
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: pins
pins: $(READY) ## compile requirements/*.txt anew
	$(BIN)/uv pip compile -q --no-header --generate-hashes --all-extras --group dev --group docs pyproject.toml -o requirements/dev.txt
	$(BIN)/uv pip compile -q --no-header --generate-hashes --all-extras --group dev pyproject.toml requirements/peers.in -o requirements/peers.txt

.PHONY: clean
clean: ## the environment and all that was built in the tree
	rm -rf $(VENV) $(SERVER_VENV) $(PEERS_VENV) dist build .coverage* .mypy_cache .ruff_cache .pytest_cache .hypothesis
