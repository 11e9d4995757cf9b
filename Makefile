# make run   train DecCMPlus on the shipped data, beside CMVAE and Pop; a table, and a picture of the genres
# make demo  from playable videos and music to a catalogue to serve: simulate, extract, train, export (some minutes)
# make test  run the tests, a process a core
# make check lint, format, types and layers
# make docs  the documentation as a site, in build/site
# make pythons PYTHONS="python3.10 python3.12"  the README's installation, a short run and fast tests on each
# make bench speed against RecBole's DSSM and the machine's floor, growth, retrieval (some minutes)
# make faults 1,000 bad inputs, 1,000 requests and 50 kills at random times, each counted
# make load  ten minutes of requests and updates at a server (make load MINUTES=1 for one)
# make bench-distributed  two processes against two threads

VENV ?= .venv
PYTHON ?= python3
PYTHONS ?= $(PYTHON)
MINUTES ?= 10
BIN := $(VENV)/bin

.PHONY: run demo test check docs pythons bench bench-distributed faults load clean

run: $(VENV)/.installed
	$(BIN)/recbole-decm first-look

demo: $(VENV)/.installed-demo
	$(BIN)/recbole-decm demo

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n auto --maxprocesses=8 --dist=worksteal

check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

docs: $(VENV)/.installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

pythons:
	.ci/pythons $(PYTHONS)

bench: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/suite.py

faults: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python tests/faults/campaign.py --inputs 1000 --kills 50
	OMP_NUM_THREADS=1 $(BIN)/python tests/faults/store_kills.py --kills 30
	OMP_NUM_THREADS=1 $(BIN)/python tests/faults/server_kills.py --kills 30
	OMP_NUM_THREADS=1 $(BIN)/python tests/faults/malformed.py --requests 1000

load: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/serving.py --parts load --minutes $(MINUTES)

bench-distributed: $(VENV)/.installed
	$(BIN)/python benchmarks/two_processes.py

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV) || (rm -rf $(VENV); echo "Python's venv is missing: apt-get install python3-venv"; exit 1)

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps recbole==1.2.1
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $@

$(VENV)/.installed-demo: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[media,cluster,export,serve]"
	touch $@

$(VENV)/.installed-docs: $(VENV)/.installed-dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[docs]"
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info saved log log_tensorboard
