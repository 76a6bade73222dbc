.DEFAULT_GOAL := help
SHELL := /bin/bash

# The first interpreter that is 3.11 or newer; override with `make PYTHON=…`.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
# Compiled modules are kept even where the environment forbids it: the tests start hundreds of interpreters.
export PYTHONDONTWRITEBYTECODE =
RUNTIME := $(VENV)/.runtime
DEV := $(VENV)/.dev

$(RUNTIME): requirements/runtime.txt requirements/build.txt
	@test -n "$(PYTHON)" || { echo "Atom Console needs Python 3.11 or newer; install it or run: make PYTHON=/path/to/python3.11 …" >&2; exit 1; }
	@echo "preparing $(VENV) (once, and again when requirements/ changes)" >&2
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install --require-hashes -r requirements/runtime.txt -r requirements/build.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m compileall -q atom_console
	@touch $@

$(DEV): $(RUNTIME) requirements/dev.txt
	@$(PIP) install --require-hashes -r requirements/dev.txt
	@touch $@

.PHONY: help install demo test check format bench lock
help: ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(DEV) ## make .venv with everything, for working on the project

demo: $(RUNTIME) ## open the console on the embedded sandbox: no broker, no account
	@$(BIN)/atom-console demo

test: $(DEV) ## the whole suite; fetches and starts a real Kafka where Java and Maven are present
	@$(BIN)/python -m pytest -n 4 --dist loadgroup $(ARGS)

check: $(DEV) ## ruff, format, mypy --strict, import-linter
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(DEV) ## fix what ruff can fix
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(DEV) ## every budget, measured beside its baseline in one run
	@$(BIN)/python -m compileall -q atom_console
	@$(BIN)/atom-console bench

lock: $(DEV) ## resolve requirements/*.txt again (hashed, naming no index)
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--output-file requirements/runtime.txt pyproject.toml
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--output-file requirements/build.txt requirements/build.in
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--prerelease if-necessary-or-explicit -c requirements/runtime.txt --group dev --output-file requirements/dev.txt
