# SPDX-License-Identifier: LGPL-2.1-or-later
# Each target installs what it needs first (bootstrap.sh); when nothing is missing that is quick and offline.

TREE ?= /usr/share
PYTEST_ARGS ?=
BENCH_ARGS ?=
SECONDS ?= 120
SEED ?=
PYTHON_IN_VENV = .venv/bin/python

# The scripts read it from the environment, so that no character of a path is special to the shell.
export TREE

.PHONY: help quickstart test stress lint bench clean

help:
	@echo 'make quickstart [TREE=/usr/share]   commit a real tree, mount every commit, compare, show a change'
	@echo 'make test [PYTEST_ARGS=...]         all tests, with real mounts'
	@echo 'make stress [SECONDS=120] [SEED=N]   many processes at one repository, then all of it compared'
	@echo 'make lint                           formatting, types, shell scripts, layers'
	@echo 'make bench [BENCH_ARGS=...]         our commands beside their peers, as a table of ratios'
	@echo 'make clean                          remove what building and testing left (not .venv)'

quickstart:
	@./bootstrap.sh
	@docs/quickstart.sh

test:
	@./bootstrap.sh test
	@$(PYTHON_IN_VENV) -m pytest --durations=15 $(PYTEST_ARGS)

stress:
	@./bootstrap.sh test
	@$(PYTHON_IN_VENV) -m tests.stress $(SECONDS) $(SEED)

lint:
	@./bootstrap.sh test
	@$(PYTHON_IN_VENV) -m pytest -q tests/test_linters.py tests/test_layering.py

bench:
	@./bootstrap.sh
	@$(PYTHON_IN_VENV) -m benchmarks $(BENCH_ARGS)

clean:
	@if findmnt --mountpoint "$$(pwd -P)/quickstart/mnt" >/dev/null; then PATH=".venv/bin:$$PATH" ostreefs umount quickstart/mnt; fi
	@rm -rf quickstart build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	@find ostreefs store tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
