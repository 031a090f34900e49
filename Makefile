# What people type: `make run` to use Holdfast, `make test` to know that it works.

PYTHON ?= python3
BIN := .venv/bin

# `make run` is for trying and developing. A real site sets HOLDFAST_DEBUG=false and its own secret key.
run types bench soak faults cluster-faults worker-faults: export HOLDFAST_DEBUG ?= true
HOLDFAST_ADDRESS ?= 127.0.0.1:8000

# Containers often forbid bytecode. Tests start hundreds of processes, each of which would compile everything.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help run setup test test-sqlite test-postgres test-js declarations lint format types check bench soak fuzz compat faults cluster-faults worker-faults clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run: .venv/.runtime ## start Holdfast on HOLDFAST_ADDRESS (127.0.0.1:8000)
	@[ -e var/holdfast.sqlite3 ] || rm -f var/admin_password # of a database that was removed
	@$(BIN)/python manage.py migrate --verbosity 0
	-@$(BIN)/python manage.py ensure_admin --password-file var/admin_password
	@exec $(BIN)/python manage.py runserver --noreload $(HOLDFAST_ADDRESS)

setup: .venv/.tests ## install what the tests need
	@tests/setup

test: test-sqlite test-postgres test-js ## every test but the long ones

# Four at a time, on two cores too: most tests wait, and those of one file share their servers.
TOGETHER = --numprocesses 4 --dist loadfile --no-loadscope-reorder

test-sqlite: setup
	$(BIN)/pytest $(TOGETHER)

test-postgres: setup
	$(BIN)/python -m tests.services postgres -- $(BIN)/pytest $(TOGETHER) -m "database and not long" \
		$(wildcard tests/test_*.py) tests/models tests/adapters

test-js: setup
	$(BIN)/python -m tests.services node -- node --test --test-reporter=spec $(shell find tests/js -name '*.test.mjs')

declarations: setup ## write the browser client's TypeScript declarations, after a change of it
	$(BIN)/python -m tests.services node -- tests/node_modules/.bin/tsc -p tests/tsconfig.json \
		--noEmit false --declaration --emitDeclarationOnly --outDir static/holdfast/types

lint: .venv/.tests ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: .venv/.tests ## let ruff put the format right
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: .venv/.tests ## mypy
	$(BIN)/mypy

# A production-like environment; nothing connects to the names in it.
check: export HOLDFAST_DEBUG = false
check: export HOLDFAST_SECRET_KEY = only-for-this-check-0123456789-abcdefghijklmnopqrstuvwxyz-ABCDEFG
check: export HOLDFAST_HOSTS = holdfast.example
check: export HOLDFAST_STATIC_ROOT = $(CURDIR)/var/check-static
check: .venv/.tests ## Django's deployment checks, migrations, static files
	$(BIN)/python manage.py check --deploy --fail-level WARNING
	$(BIN)/python manage.py makemigrations --check --dry-run
	$(BIN)/python manage.py collectstatic --no-input --clear --verbosity 0

bench: setup ## measure Holdfast beside its peers (an hour)
	@tests/setup peers
	$(BIN)/python -m tests.bench

soak: setup ## run for long and watch memory (tens of minutes)
	$(BIN)/pytest tests/scenarios -s -m "long and soak"

SECONDS ?= 300
fuzz: setup ## fuzz every door of both servers for SECONDS (300), with SEED or a new one
	$(BIN)/python -m tests.fuzz --seconds $(SECONDS) $(if $(SEED),--seed $(SEED))

CUTS ?= 20
compat: setup ## vendors' chat clients through a network that cuts, CUTS (20) times a wire, with SEED or a new one
	$(BIN)/python -m tests.compat --cuts $(CUTS) $(if $(SEED),--seed $(SEED))
	$(BIN)/pytest tests/browser -m "long and compat"

faults: setup ## kill, cut and fill up, many times; property tests with many examples (minutes)
	HYPOTHESIS_PROFILE=long $(BIN)/pytest -m "hypothesis and not long"
	$(BIN)/pytest -m "long and not soak and not compat" --ignore tests/scenarios/test_cluster.py

worker-faults: setup ## kill sites and workers elsewhere while people steer, stop and decide, many times (minutes)
	$(BIN)/pytest tests/scenarios/test_worker_faults.py -m long -s

cluster-faults: setup ## the large size under every fault: three plays of HOLDFAST_FAULT_MINUTES (10) each
	$(BIN)/pytest tests/scenarios/test_cluster.py -m long -s

clean: ## forget everything that was installed; var/ (the data) stays
	rm -rf .venv docs/examples/node_modules tests/node_modules tests/bench/peers/node_modules

.venv/.made:
	@$(PYTHON) -c 'import sys; sys.exit("Holdfast needs Python 3.11 or newer, this is %d.%d: make PYTHON=python3.12 …" % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	@touch $@

.venv/.runtime: .venv/.made requirements.txt
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

.venv/.tests: .venv/.runtime tests/requirements.txt tests/requirements-without-dependencies.txt
	$(BIN)/pip install --quiet --disable-pip-version-check -r tests/requirements.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -r tests/requirements-without-dependencies.txt
	@touch $@
