# Everything a person or CI runs; `make help` lists it. Each target installs what it needs and nothing more.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
PORT ?= 8000
HOST ?= 127.0.0.1
NAME ?= spine_autoencoder
ARGS ?=
SECONDS ?= 60

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet install

# The project's own model store, beside the code, so that nothing in a user's home is touched.
export BENTOML_HOME ?= $(CURDIR)/.bentoml
export BENTOML_DO_NOT_TRACK := True
# Small matrices: a second BLAS thread costs more than it gives.
export OPENBLAS_NUM_THREADS ?= 1

SERVE_READY := $(VENV)/.serve
TRAIN_READY := $(VENV)/.train
BENCH_READY := $(VENV)/.bench
TOOLS_READY := $(VENV)/.tools
DEV_READY := $(VENV)/.dev
# It says what is wrong only when it may also say that all is well.
fits = $(BIN)/check-jsonschema $(1) | awk '!/^ok --/'
# TensorFlow takes 1.6 GB and other versions of what we use.
KERAS_VENV := .venv-keras
KERAS_READY := $(KERAS_VENV)/.ready

.PHONY: help serve train phantoms release picture image test-image bench test test-heavy fuzz check format lock clean

RELEASED := pretrained/spine_autoencoder.bentomodel
# Seed 9 was chosen by counts alone: of the patients that it holds out, 8 have masks. training/LOG.md
# says why the code has 32 numbers, and the doubts.
RELEASE_OPTIONS := --latent 32 --seed 9 --describe "SPIDER lumbar spine MR (van der Graaf et al. 2024, CC BY 4.0): middle sagittal T1 and T2 slices, T2 SPACE slices"

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "make: $(PYTHON) is older than Python 3.11; name a newer one with PYTHON=" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "make: $(PYTHON) cannot make a virtual environment (Debian: apt install python3-venv)" >&2; rm -rf $(VENV); exit 1; }

$(SERVE_READY): requirements/serve.txt | $(BIN)/python
	@echo "installing what serving needs into $(VENV)" >&2
	@$(PIP) --require-hashes -r requirements/serve.txt
	@touch $@

$(TRAIN_READY): requirements/train.txt requirements/torch.txt $(SERVE_READY)
	@echo "installing what training needs into $(VENV)" >&2
	@$(PIP) --require-hashes -r requirements/train.txt
	@$(PIP) -r requirements/torch.txt
	@touch $@

$(BENCH_READY): requirements/bench.txt $(TRAIN_READY)
	@echo "installing what the benchmark's other contenders need into $(VENV)" >&2
	@$(PIP) --require-hashes -r requirements/bench.txt
	@touch $@

$(KERAS_READY): requirements/keras.txt | $(BIN)/python
	@echo "installing TensorFlow (1.6 GB) into $(KERAS_VENV)" >&2
	@$(BIN)/python -m venv $(KERAS_VENV)
	@$(KERAS_VENV)/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes -r requirements/keras.txt
	@touch $@

$(TOOLS_READY): requirements/dev.txt $(SERVE_READY)
	@echo "installing what tests and checks need into $(VENV)" >&2
	@$(PIP) --require-hashes -r requirements/dev.txt
	@touch $@

$(DEV_READY): $(TOOLS_READY) $(TRAIN_READY)
	@touch $@

serve: $(SERVE_READY) ## answer POST /predict on PORT (8000), with the newest model of the store
	@$(BIN)/python -m model.store import $(RELEASED) > /dev/null
	@$(BIN)/python -m serving.process.preflight --host $(HOST) --port $(PORT)
	@exec $(BIN)/bentoml serve service:SpineAnomaly --host $(HOST) --port $(PORT) --timeout-graceful-shutdown 25

train: $(TRAIN_READY) ## train on DATA=folder (NAME= and ARGS= go to python -m training fit)
	@[ -n "$(DATA)" ] || { echo "make: name a folder of DICOM files: make train DATA=folder" >&2; exit 2; }
	@$(BIN)/python -m training fit $(DATA) --name $(NAME) $(ARGS)

phantoms: $(TRAIN_READY) ## write synthetic slices into phantoms/, to try everything on
	@$(BIN)/python -m training phantom phantoms --count 60 --seed 1

release: $(TRAIN_READY) ## train the released model on DATA= and MASKS= (folders) anew, into pretrained/
	@[ -n "$(DATA)" ] && [ -n "$(MASKS)" ] || { echo "make: name the training data: make release DATA=folder MASKS=folder" >&2; exit 2; }
	@$(BIN)/python -m training fit $(DATA) --masks $(MASKS) --name $(NAME) $(RELEASE_OPTIONS) || [ $$? = 3 ]
	@$(BIN)/python -m model.store export $(NAME) $(RELEASED)
	@$(MAKE) --no-print-directory picture

picture: $(TRAIN_READY) ## draw the README's picture with the released model
	@$(BIN)/python -m training.evaluation.picture $$($(BIN)/python -m model.store import $(RELEASED)) pretrained/example.png

image: $(SERVE_READY) ## build the Bento and its image dicom-autoencoder:latest (MODEL= and TAG= for others)
	@$(BIN)/python -m image $(if $(MODEL),--model "$(MODEL)") $(if $(TAG),--tag "$(TAG)") $(if $(LABEL_VERSION),--version "$(LABEL_VERSION)") $(ARGS)

test-image: $(TOOLS_READY) image ## build it, and run it under the limits that it is made for
	@$(if $(TAG),IMAGE="$(TAG)") $(BIN)/python -m pytest -m image tests/image

bench: $(BENCH_READY) $(if $(filter keras,$(PEER)),$(KERAS_READY)) ## measure the service beside its alternatives (PEER=keras: the original's design too)
	@$(BIN)/python -m model.store import $(RELEASED) > /dev/null
	@$(BIN)/python -m benchmarks.serve $(if $(filter keras,$(PEER)),--keras $(KERAS_VENV)/bin/python) --json runs/bench/serve.json --png runs/bench/serve.png $(ARGS)

test: $(DEV_READY) ## run the tests, two minutes on two cores (ARGS= goes to pytest)
	@$(BIN)/python -m pytest -q -n auto --maxprocesses 4 --dist worksteal $(ARGS)

test-heavy: $(DEV_READY) ## run the tests that take minutes
	@$(BIN)/python -m pytest -m heavy $(ARGS)

fuzz: $(DEV_READY) ## look for SECONDS= (60) for bytes that break the reading of files
	@$(BIN)/python -m tests.security.files.fuzz_read_image --seconds $(SECONDS)

check: $(DEV_READY) ## lint, format, types, workflows and recipes; needs no network
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/zizmor --quiet --offline --pedantic .github
	@$(call fits,--builtin-schema vendor.github-workflows .github/workflows/*.yml)
	@$(call fits,--builtin-schema vendor.dependabot .github/dependabot.yml)
	@$(call fits,--builtin-schema vendor.compose-spec deploy/compose.yaml)
	@$(BIN)/python -m tests.deploy.ecs
	@$(BIN)/kubernetes-validate --quiet --strict -k 1.31 -k 1.37 \
	  $(filter-out %/kustomization.yaml,$(wildcard deploy/kubernetes/*.yaml))

format: $(DEV_READY) ## let ruff rewrite what it can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

lock: $(DEV_READY) ## write requirements/*.txt anew from requirements/*.in
	@$(PIP) --require-hashes -r requirements/image.txt
	@for name in serve image train bench keras dev; do \
	  if [ $$name = serve ]; then constraint=requirements/torch.txt; else constraint=requirements/serve.txt; fi; \
	  $(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	    -c $$constraint requirements/$$name.in -o requirements/$$name.txt; \
	done

clean: ## remove caches; the environment and the model store stay
	@rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +
