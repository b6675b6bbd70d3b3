# Everything a fresh machine with Python 3.11 and make needs; `make help` lists the targets.
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# The versions to install; empty takes the newest of everything.
LOCK ?= constraints.txt

# The first Python that is new enough and can make an environment. A name on the PATH is not enough:
# version managers leave names there that run nothing.
FITS := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	$$p -c '$(FITS)' >/dev/null 2>&1 && { echo $$p; break; }; done)

# The tests start many processes; without compiled modules each would compile all of them again.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all test-latest lint format docs docs-serve docs-version build lock clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14

setup: $(STAMP) ## create the environment and install everything

$(STAMP): pyproject.toml $(LOCK)
	@test -n "$(PYTHON)" || { echo "seglab needs Python 3.11 or newer with venv and pip (on Debian and Ubuntu: apt install python3-venv), and found none; say make PYTHON=/path/to/python"; exit 1; }
	@$(PYTHON) -c '$(FITS)' || { echo "seglab needs Python 3.11 or newer with venv and pip; PYTHON=$(PYTHON) is not"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet $(LOCK:%=--constraint %) --upgrade pip
	$(BIN)/python -m pip install --quiet $(LOCK:%=--constraint %) setuptools hatchling editables
	$(BIN)/python -m pip install --quiet $(LOCK:%=--constraint %) --no-build-isolation --editable ".[all]"
	touch $(STAMP)

demo: $(STAMP) ## train, validate and test on the embedded data: about 3 minutes on 2 cores
	$(BIN)/seglab train experiment=demo

test: lint ## style, types and the fast tests, on all cores (about 6 minutes on 2)
	$(BIN)/python -m pytest -m "not slow and not gpu" -n auto --dist loadfile

test-all: $(STAMP) ## every test that can run here, slow ones too
	$(BIN)/python -m pytest -m "not gpu" -n auto --dist loadfile

test-latest: ## the tests with the newest version of every package, in an environment of its own
	rm -f .venv-latest/.installed
	$(MAKE) setup VENV=.venv-latest LOCK=
	.venv-latest/bin/python -m pip install --quiet --upgrade --upgrade-strategy eager --no-build-isolation --editable ".[all]"
	@echo "newer than constraints.txt:"
	@.venv-latest/bin/python scripts/lock.py --compare
	$(MAKE) test VENV=.venv-latest LOCK=

lint: $(STAMP) ## style and types only
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --num-workers auto

format: $(STAMP) ## rewrite the code in house style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Its own advertisement for a successor, at every build.
docs docs-serve docs-version: export NO_MKDOCS_2_WARNING := 1

docs: $(STAMP) ## build the documentation into build/site; a broken link or a notebook that fails, fails
	NOTEBOOKS=run $(BIN)/python -m mkdocs build

docs-serve: $(STAMP) ## show the documentation at http://127.0.0.1:8000 while you write
	$(BIN)/python -m mkdocs serve

# The branch holds every version as a folder; pushing it publishes. mike calls mkdocs by name.
docs-version: export PATH := $(abspath $(BIN)):$(PATH)
docs-version: export NOTEBOOKS := run
docs-version: $(STAMP) ## write the documentation as VERSION=1.2 into the branch gh-pages, beside the others
	@test -n "$(VERSION)" || { echo "say which: make docs-version VERSION=1.2"; exit 1; }
	mike deploy --update-aliases $(VERSION) latest
	mike set-default latest

build: $(STAMP) ## build the wheel
	$(BIN)/python -m build --wheel

lock: $(STAMP) ## write constraints.txt anew, with the versions of today
	$(BIN)/python scripts/lock.py

clean: ## remove the environments and caches (runs/ and data/ stay)
	rm -rf $(VENV) .venv-latest build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
