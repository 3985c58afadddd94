# Two commands matter: `make demo` and `make test`. Both create .venv from the lock files; nothing else is needed.

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(firstword $(foreach name,python3 python3.13 python3.12 python3.11,$(if $(shell $(name) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo yes),$(name))))
export HASHGATE_HOME ?= $(CURDIR)/.hashgate
export HASHGATE_DROPS ?= $(HASHGATE_HOME)/drops
export HASHGATE_CONTRACTS ?= $(CURDIR)/contracts/odcs
export HASHGATE_ENGINES ?= $(CURDIR)/contracts/engine
export DAGSTER_HOME ?= $(HASHGATE_HOME)/dagster
export DAGSTER_DISABLE_TELEMETRY := yes
PORT ?= 3000
REPORTS_PORT ?= 3070
DAYS ?= 365
# Two at a time, a file's tests together: several share what is costly to set up.
PYTEST_ARGS ?= -n 2 --dist loadfile

# No dependency is resolved and nothing is built in isolation: what the lock files do not name does not get in.
PIP_INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation

.DEFAULT_GOAL := help
.PHONY: help setup demo serve test lint types imports unit coverage bench lock clean clean-home
.DELETE_ON_ERROR:
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# ---- the environment -------------------------------------------------------------------------------------------

# The stamps are older than a lock file that changed: then .venv is made anew, so that nothing stale stays in it.
$(VENV)/.runtime: requirements-build.lock requirements.lock
	@test -n "$(PYTHON)" || { echo "hashgate needs Python 3.11, 3.12 or 3.13 and found none: install one (Debian: apt-get install python3 python3-venv) or name it with make PYTHON=..." >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) cannot create virtual environments: apt-get install python3-venv" >&2; exit 2; }
	@echo "Installing the locked packages into $(VENV) (about a minute, once)"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(PIP_INSTALL) --require-hashes -r requirements-build.lock
	@$(PIP_INSTALL) --require-hashes -r requirements.lock
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime requirements-dev.lock
	@$(PIP_INSTALL) --require-hashes -r requirements-dev.lock
	@touch $@

$(VENV)/.editable: $(VENV)/.runtime pyproject.toml
	@$(PIP_INSTALL) --editable .
	@touch $@

setup: $(VENV)/.dev $(VENV)/.editable ## Create .venv with everything, the tools included

# uv resolves for Linux and macOS and all three Pythons at once; it lives only as long as this recipe. It does not read
# pip's configuration, so the index is handed over; the lock files name none.
UV_COMPILE = "$$tool/bin/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--custom-compile-command 'make lock' $(if $(UPGRADE),--upgrade)
lock: ## Resolve again within the bounds of pyproject.toml (UPGRADE=1: to the newest versions)
	@tool=$$(mktemp -d); trap 'rm -rf "$$tool"' EXIT; \
	$(PYTHON) -m venv "$$tool"; "$$tool/bin/pip" install --quiet --disable-pip-version-check 'uv>=0.13,<0.14'; \
	index=$$("$$tool/bin/pip" config get global.index-url 2>/dev/null || true); \
	if test -n "$$index"; then export UV_DEFAULT_INDEX="$${UV_DEFAULT_INDEX:-$$index}"; fi; \
	$(UV_COMPILE) --group build -o requirements-build.lock; \
	$(UV_COMPILE) pyproject.toml --extra demo -c requirements-build.lock -o requirements.lock; \
	$(UV_COMPILE) pyproject.toml --all-extras --group dev -c requirements.lock -o requirements-dev.lock

# ---- Dagster and the demo --------------------------------------------------------------------------------------

# In DAGSTER_HOME, because beside another dagster.yaml Dagster warns that it does not read that one. The subshell
# speaks when the port answers. `dagster dev` ends with 0 even when a server died: so who ended it is remembered.
define SERVE
@if (: <>/dev/tcp/127.0.0.1/$(PORT)) 2>/dev/null; then echo "Port $(PORT) is taken: try PORT=$$(($(PORT) + 1))" >&2; exit 2; fi
@umask 077; mkdir -p "$(DAGSTER_HOME)" "$(HASHGATE_DROPS)" && cp dagster.yaml "$(DAGSTER_HOME)/dagster.yaml"
@echo "Starting Dagster (its log: $(DAGSTER_HOME)/servers.log). Ctrl-C ends it and everything it started."
@cd "$(DAGSTER_HOME)"; umask 077; trap 'asked=yes' INT TERM; { trap - INT TERM; \
while ! (: <>/dev/tcp/127.0.0.1/$(PORT)) 2>/dev/null; do kill -0 $$$$ 2>/dev/null || exit 0; sleep 0.5; done; \
echo "Open http://127.0.0.1:$(PORT)/asset-groups in a browser. New drops are ingested without a click."; } & \
$(abspath $(BIN))/hashgate report --serve --address 127.0.0.1:$(REPORTS_PORT) >reports.log 2>&1 & reports=$$!; \
HASHGATE_WEBSERVER=127.0.0.1:$(PORT) HASHGATE_REPORTS=$${HASHGATE_REPORTS:-127.0.0.1:$(REPORTS_PORT)} PYTHONWARNINGS='ignore:Function `dev_command` is superseded' \
$(abspath $(BIN))/dagster dev --log-level warning --host 127.0.0.1 --port $(PORT) \
--workspace "$(CURDIR)/workspace.yaml" >servers.log 2>&1 || true; kill $$reports 2>/dev/null || true; \
test -n "$${asked:-}" || { tail -n 20 servers.log >&2; echo "Dagster ended by itself; all it said: $(DAGSTER_HOME)/servers.log" >&2; exit 1; }
endef

# The demo has an engine, too, and a table over its output.
demo: export HASHGATE_ENGINES := $(HASHGATE_ENGINES):$(CURDIR)/examples/engine
demo: export HASHGATE_CONTRACTS := $(HASHGATE_CONTRACTS):$(CURDIR)/examples/engine
demo: $(VENV)/.editable ## 365 days of flights and an engine's run through Dagster on 127.0.0.1:3000 (HEADLESS=1: no servers; PORT=, DAYS=)
	@$(BIN)/python -m examples.flights.make_drops --days $(DAYS) --out "$(HASHGATE_DROPS)"
ifdef HEADLESS
	@mkdir -p "$(DAGSTER_HOME)" && cp dagster.yaml "$(DAGSTER_HOME)/dagster.yaml"
# Exit code 1 says that a day is held: in the demo one is, on purpose.
	@$(BIN)/hashgate ingest flights --new || test $$? -eq 1
	@echo; $(BIN)/hashgate status flights || test $$? -eq 1
	@echo; $(BIN)/hashgate engine submit examples/engine/request.yaml
	@$(BIN)/hashgate ingest card_transactions --new
	@$(BIN)/hashgate query "SELECT segment, count(*) AS n, count(*) FILTER (is_fraud) AS fraud FROM card_transactions GROUP BY ALL ORDER BY 1"
	@echo; echo 'Its report: $(BIN)/hashgate report card_transactions --open'
	@echo; echo 'Ask it: $(BIN)/hashgate query "SELECT carrier, avg(arr_delay) FROM flights GROUP BY ALL ORDER BY 2"'
else
	@umask 077; mkdir -p "$(HASHGATE_HOME)/requests" && cp examples/engine/request.yaml "$(HASHGATE_HOME)/requests/demo.yaml"
	$(SERVE)
endif

serve: $(VENV)/.editable ## Dagster over your own contracts and drops (PORT=)
	$(SERVE)

# ---- what CI runs ----------------------------------------------------------------------------------------------

test: lint types imports unit ## Everything that must hold: lint, types, import rules and all tests

lint: setup ## ruff, rules and format
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check

types: setup ## mypy, strict
	@$(BIN)/mypy

imports: setup ## The layers import one way
	@$(BIN)/lint-imports --no-cache

unit: setup
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

coverage: setup ## The tests once more, measured, with the floor of pyproject.toml
	@$(BIN)/coverage run -m pytest $(PYTEST_ARGS)
	@$(BIN)/coverage report

bench: setup ## Side by side with DuckDB's own COPY; writes bench/RESULTS.md (QUICK=1: small, a smoke test)
	@$(BIN)/python -m bench.run $(if $(QUICK),--quick)

clean: ## Remove .venv and the tools' caches; data in HASHGATE_HOME stays
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage build *.egg-info
	@find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
