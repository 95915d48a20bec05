# `make demo` and `make test` need Python 3.11 or later and make, nothing else.
PYTHON ?= python3
VENV ?= .venv
OUT ?= runs/demo
# On Linux without a GPU this saves some 3 GB:
#   make demo PIP_FLAGS="--extra-index-url https://download.pytorch.org/whl/cpu"
PIP_FLAGS ?=

BIN := $(VENV)/bin
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) -c constraints.txt

.PHONY: help demo test lint test-slow clean

help:
	@echo "make demo       install into $(VENV), train on the bundled panel, write an HTML report to $(OUT)"
	@echo "make test       install into $(VENV), run the tests and the linters"
	@echo "make test-slow  the tests that take longer"
	@echo "make lint       the linters alone"
	@echo "make clean      remove $(VENV), caches and the demo's run"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "fintok needs Python 3.11 or later, and '$(PYTHON)' is not one: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { rm -rf $(VENV); echo "$(PYTHON) cannot create a virtual environment (on Debian: apt install python3-venv)" >&2; exit 1; }

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing fintok into $(VENV) (some minutes the first time) ..."
	@$(INSTALL) -e ".[dashboard]"
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@echo "Installing the test tools into $(VENV) ..."
	@$(INSTALL) -e ".[dev]"
	@touch $@

demo: $(VENV)/.installed
	@$(BIN)/fintok demo --out $(OUT) --resume
	@echo "dashboard:  $(BIN)/fintok dashboard --model $(OUT)/model --panel $(OUT)/prices.parquet"

test: $(VENV)/.installed-dev lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder  # a process a core

test-slow: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m "slow and not gpu"

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports --no-cache

clean:
	rm -rf $(VENV) $(OUT) .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find apps fintok vision tests -name __pycache__ -type d -prune -exec rm -rf {} +
