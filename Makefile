# make demo: everything, from nothing, on synthetic data.  make test: all tests.  make check: what a commit must pass.
PYTHON ?= python3
VENV ?= .venv
RUN := $(VENV)/bin

.PHONY: demo test check install clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "dvspipe needs Python 3.11 or newer, found " + sys.version)'
	$(PYTHON) -m venv $(VENV)
	@echo 'installing into $(VENV): a minute or two'
	$(RUN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

demo: install
	$(RUN)/dvspipe demo

test: install
	PATH="$(abspath $(RUN)):$$PATH" scripts/check all

check: install
	PATH="$(abspath $(RUN)):$$PATH" scripts/check

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
