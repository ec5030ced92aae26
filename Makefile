# Two commands do everything on a fresh machine: `make run` and `make test`.
SHELL := /bin/bash
PY := .venv/bin/python
BIN := .venv/bin
VENDOR := dashboards/static/vendor/manifest.json

.PHONY: setup system run test test-all check bench clean

system: ## Debian packages that the tests use as real counterparts
	@deploy/tools/install-debian-packages

setup: .venv/.done $(VENDOR) ## Python and npm parts, translations, the data folder
	@$(BIN)/pybabel -q compile -d dashboards/translations >/dev/null
	@mkdir -p data && chmod 700 data

.venv/.done: setup.cfg pyproject.toml
	@echo "installing the Python parts into .venv (about a minute) ..."
	@python3 -m venv .venv
	@$(BIN)/pip install -q --disable-pip-version-check --upgrade pip
	@$(BIN)/pip install --disable-pip-version-check -e '.[dev]' >.venv/install.log 2>&1 \
	  || { tail -40 .venv/install.log; exit 1; }
	@touch $@

$(VENDOR): dashboards/package.json dashboards/package-lock.json dashboards/vendor.py
	@echo "copying the console's scripts from npm ..."
	@cd dashboards && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@$(PY) dashboards/vendor.py

run: setup ## the console with the demo city on http://127.0.0.1:8080
	$(BIN)/zhishou up --demo --insecure-local-api

check: setup ## format, lint, types, import contract, translations
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(PY) -m dashboards.translations_check

test: setup system check ## everything CI checks
	$(BIN)/pytest -m "not slow"

test-all: setup system check
	$(BIN)/pytest

bench: setup
	$(PY) -m tests.bench

bench-%: setup
	$(PY) -m tests.bench $*

clean:
	rm -rf .venv build dashboards/static/vendor dashboards/node_modules
