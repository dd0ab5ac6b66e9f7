# Each target sets up what it needs, then runs one `python -m` line, printed as it runs.
# Nothing here is needed to use the playbook: README.md lists the same lines for Windows and macOS.
# PY=python3.12 make run     chooses another interpreter      ARGS="--month 2026-09" make run   passes options on

PY     ?= $(shell for p in python3 python3.11 python3.12 python3.13 python; do \
             $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo $$p && break; done)
PYTHON := .venv/bin/python
READY  := .venv/.ready
ARGS   ?=

.DEFAULT_GOAL := help
.PHONY: help run test lab demo tidy lint bench proof lock

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 16

run: $(READY)  ## one month, end to end: the pack lands in runs/<store>/<month>/
	$(PYTHON) -m playbook run $(ARGS)

test: $(READY)  ## every test, notebooks included
	$(PYTHON) -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS)

lab: $(READY)  ## JupyterLab, opened on the first chapter
	$(PYTHON) -m jupyterlab notebooks/00_start_here.ipynb $(ARGS)

demo: $(READY)  ## the simulated shop, whose truth is known
	$(PYTHON) -m playbook demo $(ARGS)

tidy: $(READY)  ## run the notebooks and keep only the outputs that tests compare
	$(PYTHON) -m playbook.runs.tidy $(ARGS)

lint: $(READY)  ## style of code and notebooks
	$(PYTHON) -m ruff check $(ARGS) .

bench: $(READY)  ## speed beside peers (minutes; never part of the tests)
	$(PYTHON) -m tests.benchmarks $(ARGS)

proof: $(READY)  ## the long evidence runs (hours; resumable)
	$(PYTHON) -m tests.proof $(ARGS)

lock: $(READY)  ## pin every package again, with hashes
	UV_SYSTEM_CERTS=1 $(PYTHON) -m uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header --extra test pyproject.toml -o requirements.lock $(ARGS)

$(READY): requirements.lock pyproject.toml
	@test -n "$(PY)" || { echo "No Python 3.11, 3.12 or 3.13 found. Install one, or name it: PY=/path/to/python3.11 make $(MAKECMDGOALS)"; exit 1; }
	$(PY) -m playbook.bootstrap
