# One verb per job, the same here and in CI. Each makes the virtual environment it needs on its first run.
#
#   make run     prepare the digits example, run it, print its accuracy     (no torch)
#   make test    the whole test suite                                       (installs torch)
#   make check   ruff, formatting, mypy
#   make bench   measured figures beside their budgets
#   make gpu     on a machine with a GPU: the tests that need one, the benchmark, a short table
#   make bless   write the golden files anew; read the diff before you commit it
#   make size    lines per file, largest last
#   make peers   Triton, perf_analyzer and mosec to compare with, in .peers/; `pytest -m peers` uses them
#   make bench-serving   our server, those and echo servers, the same work and client: half an hour

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
PYTEST := $(BIN)/python -m pytest

# What `make run` prepares; the tests prepare the other examples themselves.
DIGITS := examples/digits

.PHONY: help run test check bench bench-serving gpu bless size peers clean
.DEFAULT_GOAL := help

help:
	@sed -n 's/^#   make/make/p' Makefile

run: $(VENV)/.run $(DIGITS)/models/.prepared
	$(BIN)/python -m pipectl run $(DIGITS)/digits.pipe --input 'image=@$(DIGITS)/data/held_out/000?_*.png'
	$(BIN)/python $(DIGITS)/accuracy.py

# Two workers of one thread each: with a maths thread per core in every worker, timings of one disturb the other.
# First the executor's tests with all stages on simulated devices, then everything on the host.
test: $(VENV)/.test
	OMP_NUM_THREADS=1 $(PYTEST) -n 2 tests/executor --ignore tests/executor/devices --on sim
	OMP_NUM_THREADS=1 $(PYTEST) -n 2

check: $(VENV)/.check
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

bench: $(VENV)/.run
	$(BIN)/python -m benchmarks.executor --json benchmarks/latest.json --keep benchmarks/RESULTS.md
	$(BIN)/python -m benchmarks.control --keep benchmarks/RESULTS.md

bench-serving: $(VENV)/.test examples/embed/models/.prepared
	$(BIN)/python -m benchmarks.serving --json benchmarks/latest.json

gpu: $(VENV)/.gpu
	$(BIN)/python scripts/gpu.py

bless: $(VENV)/.test
	PIPECTL_BLESS=1 $(PYTEST) tests
	git status --short tests

size:
	@$(PYTHON) scripts/size.py

peers:
	scripts/peers.sh

clean:
	rm -rf $(VENV) examples/*/models examples/*/data examples/*/out

$(DIGITS)/models/.prepared: $(wildcard $(DIGITS)/*.py) | $(VENV)/.run
	$(BIN)/python $(DIGITS)/prepare.py

examples/embed/models/.prepared: $(wildcard examples/embed/*.py) | $(VENV)/.test
	$(BIN)/python examples/embed/prepare.py

# Each set of packages has a stamp, so that a verb installs only what it needs, once. `check` needs what mypy reads types of.
$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) -e '.[onnx,images,examples]'
	@touch $@

$(VENV)/.check: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) -e '.[dev,serve,otel]'
	@touch $@

$(VENV)/.test: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) -e '.[dev,onnx,torch,interop,serve,otel,parquet,images,lsp,examples,embed]'
	@touch $@

# ONNX Runtime for GPUs takes the place of the one for CPUs: never both.
$(VENV)/.gpu: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) -e '.[dev,torch,gpu,nvtx]'
	@touch $@
