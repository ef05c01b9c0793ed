# make demo | test | test-slow | check | bench: each sets up .venv on a fresh machine first.
# PIP_ARGS goes to pip, for a machine that needs an index of its own.

PYTHON ?= python3
PIP_ARGS ?=
BIN := .venv/bin
READY := .venv/.ready

export TOKENIZERS_PARALLELISM ?= false
# What is installed is compiled when it is first imported: where that is not kept, each process would compile it again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-slow check format bench audit clean

demo: $(READY)
	$(BIN)/intently demo

# Two threads on two cores collapse as soon as anything else runs: one each for tests.
test test-slow: export OMP_NUM_THREADS = 1
test test-slow: export POLARS_MAX_THREADS = 1

# Halves of the suite stay together: dealt out one by one, nearly every module's trained bundle is trained twice.
test: $(READY)
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow"

test-slow: $(READY)
	$(BIN)/python -m pytest -m slow

check: $(READY)
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell
	$(BIN)/vulture
	$(BIN)/deptry .
	-@test -d .venv/audit/pip_audit || $(PYTHON) -m pip install --quiet $(PIP_ARGS) --target .venv/audit pip-audit
	@PYTHONPATH=.venv/audit $(BIN)/python .ci/audit.py --lenient

# Known faults of the packages. It asks PyPI: where that does not answer, `check` says so and goes on, and this fails.
audit: $(READY)
	$(PYTHON) -m pip install --quiet $(PIP_ARGS) --target .venv/audit pip-audit
	PYTHONPATH=.venv/audit $(BIN)/python .ci/audit.py

format: $(READY)
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(READY)
	@for script in bench/*.py; do [ -e "$$script" ] || continue; echo "$$script"; $(BIN)/python "$$script" || exit 1; done

# Python compiles what is imported when it is: all of it at once took half of the installation.
# torch stands in the same command as what depends on it: pip then keeps to one build of it.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Intently needs Python 3.11 or newer: make PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --no-compile $(PIP_ARGS) -c constraints.txt "torch==2.13.0" -e ".[dev]"
	touch $(READY)

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
