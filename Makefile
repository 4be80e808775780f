SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= python3
CHROMIUM ?= /usr/bin/chromium
LAB_ARGS ?=
PYTEST_ARGS ?=
# Most of the tests wait most of the time.
TEST_PROCESSES ?= --numprocesses=2 --dist=loadscope --no-loadscope-reorder
BENCH_ARGS ?=

# Of the containers' images.
BASE_IMAGE ?= python:3.11-slim
IMAGE_PREFIX ?=
TAG ?= dev
VERSION := $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' rexec_jupyter/_version.py)
REVISION := $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
# Where the source can be had.
SOURCE ?= unknown
IMAGES := broker server deploy-api ep-api

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# The panel: built, and linked to where JupyterLab looks. Node comes with the packages.
PANEL := $(VENV)/.panel
LABEXTENSIONS := $(VENV)/share/jupyter/labextensions
PANEL_SOURCES := package.json package-lock.json $(wildcard labextension/*.json) \
  $(shell find labextension/src labextension/style labextension/schema -type f)
NPM := PATH="$(CURDIR)/$(BIN):$$PATH" npm
DEMO := examples/demo.ipynb
# What is open at first: the notebook and, beside it, the panel.
WORKSPACE := binder/demo.jupyterlab-workspace
ALLOW_ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)

export CHROMIUM

.PHONY: help setup lab quickstart test test-panel test-cluster test-binder lint lint-python lint-panel browser \
  postgresql compose bench bench-cluster images format clean

help:  ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-14s %s\n", $$1, $$2 }'

setup: $(READY) $(PANEL)  ## create .venv with everything the other commands need

lab: $(READY) $(PANEL)  ## open JupyterLab with the demo notebook (LAB_ARGS='--no-browser --port 8899')
	@test -d build/workspaces || \
	  JUPYTERLAB_WORKSPACES_DIR=build/workspaces $(BIN)/jupyter lab workspaces import $(WORKSPACE) >/dev/null
	JUPYTERLAB_WORKSPACES_DIR=build/workspaces PATH="$(CURDIR)/$(BIN):$$PATH" \
	  $(BIN)/jupyter lab $(ALLOW_ROOT) --LabApp.default_url=/lab/tree/$(DEMO) $(LAB_ARGS)

quickstart: $(READY)  ## run the demo notebook from end to end, without a browser
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python scripts/quickstart.py $(DEMO)

test: browser postgresql  ## lint, type-check and run every test (PYTEST_ARGS='-k name')
	@$(MAKE) --jobs=2 --output-sync=target lint-python lint-panel test-panel
	$(BIN)/python -m pytest $(TEST_PROCESSES) $(PYTEST_ARGS)

lint: lint-python lint-panel  ## check style, formatting and types

lint-python: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

lint-panel: $(PANEL)
	$(NPM) run --silent check

test-panel: $(PANEL)
	$(NPM) test --silent

bench: browser  ## run the benchmarks (BENCH_ARGS=...)
	$(BIN)/python -m tests.bench $(BENCH_ARGS)

images: $(IMAGES:%=image-%)  ## build the containers' images (BASE_IMAGE=... IMAGE_PREFIX=... TAG=...)

image-%:
	docker build --quiet --build-arg BASE_IMAGE=$(BASE_IMAGE) --build-arg VERSION=$(VERSION) \
	  --build-arg REVISION=$(REVISION) --build-arg SOURCE=$(SOURCE) \
	  --file services/$(subst -,_,$*)/Dockerfile --tag $(IMAGE_PREFIX)rexec-$*:$(TAG) .

# With REXEC_IMAGE_LOADER, a command that brings the images it is given into the cluster.
test-cluster: $(READY) compose  ## test the backend on the cluster that KUBECONFIG names
	$(if $(REXEC_IMAGE_LOADER),$(REXEC_IMAGE_LOADER) $(IMAGES:%=$(IMAGE_PREFIX)rexec-%:$(TAG)))
	REXEC_BASE_IMAGE=$(BASE_IMAGE) REXEC_IMAGE_PREFIX=$(IMAGE_PREFIX) REXEC_IMAGE_TAG=$(TAG) \
	  $(BIN)/python -m pytest tests/cluster tests/helm -m cluster $(PYTEST_ARGS)

test-binder: $(READY)  ## build the demo as Binder does, in a container, and run it there
	REXEC_BASE_IMAGE=$(BASE_IMAGE) $(BIN)/python -m pytest tests/binder -m container $(PYTEST_ARGS)

bench-cluster: $(READY)  ## run the benchmarks on that cluster (BENCH_ARGS=...)
	REXEC_BASE_IMAGE=$(BASE_IMAGE) REXEC_IMAGE_PREFIX=$(IMAGE_PREFIX) REXEC_IMAGE_TAG=$(TAG) \
	  $(BIN)/python -m tests.bench.cluster $(BENCH_ARGS)

format: $(READY) $(PANEL)  ## format the code and apply the safe fixes
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(NPM) run --silent format

clean:  ## remove .venv and everything else that was generated
	rm -rf $(VENV) build dist node_modules labextension/lib labextension/*.tsbuildinfo .mypy_cache .pytest_cache .ruff_cache .hypothesis tests/browser/artifacts
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

browser: $(READY) $(PANEL)
	@if [ ! -x "$(CHROMIUM)" ]; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends chromium; \
	  else \
	    echo "The browser tests need Chromium: install it (on Debian: apt-get install chromium)," >&2; \
	    echo "or name its executable: make test CHROMIUM=/path/to/chromium" >&2; \
	    exit 1; \
	  fi; \
	fi

# For the tests of the images.
compose:
	@if ! command -v docker-compose >/dev/null && ! docker compose version >/dev/null 2>&1; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends docker-compose; \
	  else \
	    echo "The tests of the images need Docker's compose (on Debian: apt-get install docker-compose)" >&2; \
	    exit 1; \
	  fi; \
	fi

# For the tests of the catalog. Debian's package would also make and start a server of its own.
postgresql: $(READY)
	@if ! ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 && ! command -v initdb >/dev/null; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    mkdir -p /etc/postgresql-common; \
	    test -e /etc/postgresql-common/createcluster.conf || \
	      echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.conf; \
	    apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends postgresql; \
	  else \
	    echo "PostgreSQL is not installed: the tests against it are skipped" \
	      "(on Debian: apt-get install postgresql)." >&2; \
	  fi; \
	fi

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "rexec needs Python 3.11 or newer, and '$(PYTHON)' is not: make PYTHON=/path/to/python3.11" >&2; \
	  exit 1; }
	@mkdir -p build/labextension  # filled below, and linked rather than copied
	@export SKIP_JUPYTER_BUILDER=1; \
	if command -v uv >/dev/null; then \
	  set -ex; \
	  test -d $(VENV) || uv venv --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" $(VENV); \
	  uv pip install --python $(BIN)/python --editable '.[dev]'; \
	else \
	  if ! $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null; then \
	    if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	      apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends python3-venv || exit 1; \
	    else \
	      echo "Python's venv module is missing: install it (on Debian: apt-get install python3-venv), or uv" >&2; \
	      exit 1; \
	    fi; \
	  fi; \
	  set -ex; \
	  test -x $(BIN)/pip || $(PYTHON) -m venv --clear $(VENV); \
	  $(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'; \
	fi
	@touch $@

node_modules/.package-lock.json: package-lock.json .npmrc | $(READY)
	$(NPM) ci --no-progress

$(PANEL): $(PANEL_SOURCES) node_modules/.package-lock.json $(READY)
	$(NPM) run --silent build:prod
	@rm -rf $(LABEXTENSIONS)/rexec-jupyter && mkdir -p $(LABEXTENSIONS)
	@ln -s ../../../../build/labextension $(LABEXTENSIONS)/rexec-jupyter
	@touch $@
