# make demo: from a rendered film to a label.  make test: all checks and tests.  make check: what a commit must pass.
# make coverage: all tests, with the lines and branches that they reach.
# make docs: the site, in docs/_build/html.  make release-check: what a release must pass.
PYTHON ?= python3
VENV ?= .venv
RUN := $(VENV)/bin

.PHONY: demo test coverage check docs release-check install clean

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
	PATH="$(abspath $(RUN)):$$PATH" scripts/check static start all

coverage: install
	PATH="$(abspath $(RUN)):$$PATH" scripts/check coverage

check: install
	PATH="$(abspath $(RUN)):$$PATH" scripts/check

docs: $(VENV)/.docs
	PATH="$(abspath $(RUN)):$$PATH" scripts/docs/build

$(VENV)/.docs: $(VENV)/.installed
	$(RUN)/python -m pip install --quiet --editable '.[docs]'
	touch $@

release-check: install
	PATH="$(abspath $(RUN)):$$PATH" scripts/release_check

clean:
	rm -rf $(VENV) docs/_build docs/generated build dist .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache .hypothesis
