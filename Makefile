PYTHON ?= python3
BIN := .venv/bin
export VIDWATCH_HOME ?= $(CURDIR)/home

.PHONY: run test test-all

$(BIN)/python:
	$(PYTHON) -m venv .venv

.venv/.installed: pyproject.toml | $(BIN)/python
	$(BIN)/pip install -e .
	touch $@

.venv/.installed-test: pyproject.toml | $(BIN)/python
	$(BIN)/pip install -e '.[test]'
	touch $@ .venv/.installed

run: .venv/.installed
	$(BIN)/vidwatch run

test: .venv/.installed-test
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest

test-all: .venv/.installed-test
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest -m ''
