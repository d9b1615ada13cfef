# Everything a person or CI does here. `make help` lists it.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCE ?=
ARGS ?=

# Python keeps its bytecode, also where the shell forbids it: without, every start takes half a second more.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup run test test-long check check-deploy format bench stack faults system constraints wheel sbom clean
.DEFAULT_GOAL := help

help: ## list what can be done
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1|\2/' | column -t -s '|'

run: $(VENV)/.base ## analyse a demonstration clip, or SOURCE=video ARGS="--no-serve --out x.json"
ifeq ($(strip $(SOURCE)),)
	@mkdir -p out && $(BIN)/mien demo out/demo.mp4
	@$(BIN)/mien run out/demo.mp4 --pictures $(ARGS)
else
	@$(BIN)/mien run "$(SOURCE)" $(ARGS)
endif

test: $(VENV)/.dev ## run all tests but the long ones; installs system parts first where it may
	@deploy/local/system.sh --if-allowed
	@$(BIN)/pytest -m "not long" $(ARGS)

test-long: $(VENV)/.dev ## run the tests that need a minute or more each
	@deploy/local/system.sh --if-allowed
	@$(BIN)/pytest -m long $(ARGS)

check: $(VENV)/.dev ## format, lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check-deploy: $(VENV)/.dev ## validate manifests; ARGS=--build also builds a real API server (once, minutes) and asks it
	@$(BIN)/python -m deploy.check $(ARGS)

format: $(VENV)/.dev ## put the code into shape
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.dev ## measure speed, memory, recall and tracking on this machine
	@$(BIN)/python -m bench $(ARGS)

stack: $(VENV)/.dev ## start Kafka and Redis on this machine; ARGS="--brokers 3 --replica"; `mien stack down` ends them
	@$(BIN)/mien stack up $(ARGS)

faults: $(VENV)/.dev ## break Kafka, Redis and workers, and count what is lost; ARGS="--long" for hours of it
	@$(BIN)/python -m bench.faults $(ARGS)

setup: $(VENV)/.dev ## .venv with everything that runs and tests need (torch too)

system: ## system parts of the tests: Redis, Java for Kafka, RTSP server, Chromium (apt)
	@deploy/local/system.sh

constraints: $(VENV)/.dev ## resolve constraints.txt anew from pyproject.toml
	$(BIN)/uv pip compile -q pyproject.toml --universal --python-version 3.11 --upgrade \
	  --extra dev --extra gpu --no-emit-index-url --no-header --no-annotate -o constraints.txt

wheel: $(VENV)/.dev ## build dist/mien-*.whl, from which the images are made
	@$(BIN)/uv build -q --wheel -o dist . && ls dist/*.whl

sbom: $(VENV)/.dev ## bill of materials (CycloneDX) and licences of what is installed here, into out/
	@mkdir -p out && $(BIN)/uvx -q --from 'cyclonedx-bom>=7,<8' cyclonedx-py environment $(BIN)/python \
	  --pyproject pyproject.toml --output-reproducible -o out/sbom.json
	@$(BIN)/python -m deploy.licences kafka redis otlp gpu train > out/licences.txt && wc -l out/sbom.json out/licences.txt

clean: ## remove what was built here
	rm -rf $(VENV) out .pytest_cache .mypy_cache .ruff_cache

# uv comes from PyPI into the environment: 25 s for the test environment where pip takes 130 s.
$(BIN)/uv:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	  || { echo "mien needs Python 3.11 to 3.13; $(PYTHON) is $$($(PYTHON) -V 2>&1). Try: make PYTHON=python3.12 …"; exit 2; }
	@echo "Setting up $(VENV) …"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -q --disable-pip-version-check uv

# The base environment: what `mien run` needs. The installers leave again, so that it stays under 500 MB.
$(VENV)/.base: pyproject.toml constraints.txt
	@if [ ! -e $(VENV)/.dev ]; then \
	  $(MAKE) -s $(BIN)/uv && $(BIN)/uv pip install -q -c constraints.txt -e . \
	  && $(BIN)/uv pip uninstall -q pip setuptools uv; fi
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt
	@$(MAKE) -s $(BIN)/uv
	@$(BIN)/uv pip install -q -c constraints.txt -e '.[dev]'
	@touch $(VENV)/.base $@
