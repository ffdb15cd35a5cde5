# Two commands: `make demo` and `make test`. Each sets up its own .venv first and reuses it afterwards.
PYTHON ?= python3.11
VENV := .venv
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: demo test test-slow lint types check clean

demo: $(VENV)/installed
	$(BIN)/neomflex demo --output results/demo --overwrite

test: $(VENV)/installed-test
	$(BIN)/python -m pytest -n 2 -m "not slow" tests

test-slow: $(VENV)/installed-test
	$(BIN)/python -m pytest -n 2 -m slow tests

lint: $(VENV)/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/installed-test
	$(BIN)/mypy

check: lint types test

$(VENV)/created:
	$(PYTHON) -m venv --clear $(VENV)
	touch $@

$(VENV)/installed: $(VENV)/created pyproject.toml constraints.txt
	$(INSTALL) --editable .
	touch $@

$(VENV)/installed-test: $(VENV)/installed
	$(INSTALL) --editable ".[test]"
	touch $@

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache
