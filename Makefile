# Everything a fresh machine with Python 3.11 and make needs; `make help` lists the targets.
PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all lint format build clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14

setup: $(STAMP) ## create the environment and install everything

$(STAMP): pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "seglab needs Python 3.11 or newer; '$(PYTHON)' is not there. Install it, or say make PYTHON=/path/to/python"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable ".[all]"
	touch $(STAMP)

demo: $(STAMP) ## train, validate and test on the embedded data (about 3 minutes on 2 cores)
	$(BIN)/seglab train experiment=demo

test: $(STAMP) ## style, types and the fast tests (under 10 minutes)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -m "not slow and not gpu"

test-all: $(STAMP) ## every test that can run here, slow ones too
	$(BIN)/python -m pytest -m "not gpu"

lint: $(STAMP) ## style and types only
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP) ## rewrite the code in house style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

build: $(STAMP) ## build the wheel
	$(BIN)/python -m build --wheel

clean: ## remove the environment and caches (runs/ and data/ stay)
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
