# Two commands: `make demo` and `make test`. Each sets up its own .venv first and reuses it afterwards.
PYTHONS := python3.11 python3.12 python3.13 python3 python# the first has the versions of constraints.txt tested
SUITS := import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for each in $(PYTHONS); do "$$each" -c '$(SUITS)' 2>/dev/null && echo "$$each" && break; done)
VENV := .venv
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: check-gpu demo test test-slow test-browser lint types check docs site clean

demo: $(VENV)/installed
	$(BIN)/neomflex demo --output results/demo --overwrite

test: $(VENV)/installed-test
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not slow" tests

test-slow: $(VENV)/installed-test
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m slow tests

test-browser: $(VENV)/installed-browser
	$(BIN)/python -m pytest -m browser -rs tests/commands/test_page_in_browser.py

lint: $(VENV)/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/installed-test
	$(BIN)/mypy

check: lint types test

# Compiles for an NVIDIA H200 that need not be there; installs 5.5 GB into an environment of its own.
check-gpu: $(VENV)-gpu/installed
	JAX_PLATFORMS=cpu $(VENV)-gpu/bin/python benchmarks/gpu/aot.py

$(VENV)-gpu/installed: pyproject.toml constraints.txt
	$(if $(PYTHON),,$(error $(NO_PYTHON)))
	$(PYTHON) -m venv --clear $(VENV)-gpu
	$(VENV)-gpu/bin/python -m pip install --quiet --disable-pip-version-check --editable ".[cuda12]"
	touch $@

docs: site
	$(BIN)/python docs/run_notebooks.py --check
	$(BIN)/python -m pytest -n 2 --dist loadfile -m docs tests/project

site: $(VENV)/installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

define NO_PYTHON
No Python from 3.11 on, with its modules venv and ensurepip, is on the PATH (tried: $(PYTHONS)).
Install one (Debian and Ubuntu keep these modules in a package: python3-venv), or name one: make PYTHON=/path/to/python3
endef

$(VENV)/created:
	$(if $(PYTHON),,$(error $(NO_PYTHON)))
	$(PYTHON) -m venv --clear $(VENV)
	touch $@

$(VENV)/installed: $(VENV)/created pyproject.toml constraints.txt
	$(INSTALL) --editable .
	touch $@

$(VENV)/installed-test: $(VENV)/installed
	$(INSTALL) --editable ".[test]"
	touch $@

$(VENV)/installed-browser: $(VENV)/installed-test
	$(INSTALL) --editable ".[test,browser]"
	touch $@

$(VENV)/installed-docs: $(VENV)/installed-test
	$(INSTALL) --editable ".[docs]"
	touch $@

clean:
	rm -rf $(VENV) $(VENV)-gpu build dist site .cache .pytest_cache .mypy_cache .ruff_cache
