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

# Recipes read what was typed from their environment ("$$typed_DATA"): spaces, quotes and $ mean nothing
# there. ARGS alone becomes part of the command line: options, and more folders than one.
TYPED := PYTHON HOST PORT NAME DATA MASKS MODEL TAG LABEL_VERSION SECONDS
$(foreach name,$(TYPED),$(eval export typed_$(name) := $$(value $(name))))

VENV := .venv
BIN := $(VENV)/bin
# With what is installed, how much that is, and the lists of packages; the numbers are MB of wheels
# and of the environment afterwards, measured on Linux x86-64 with Python 3.11.
INSTALL := $(BIN)/python requirements/install.py

# The project's own model store, next to the code: nothing in the user's home is touched.
export BENTOML_HOME ?= $(CURDIR)/.bentoml
export BENTOML_DO_NOT_TRACK := True
# Small matrices: a second BLAS thread costs more than it gives.
export OPENBLAS_NUM_THREADS ?= 1

SERVE_READY := $(VENV)/.serve
PHANTOMS_READY := $(VENV)/.phantoms
TRAIN_READY := $(VENV)/.train
BENCH_READY := $(VENV)/.bench
TOOLS_READY := $(VENV)/.tools
DEV_READY := $(VENV)/.dev
# check-jsonschema prints its errors only when it may also print that all is well.
fits = $(BIN)/check-jsonschema $(1) | awk '!/^ok --/'
# Without the theme's advice about another program.
MKDOCS := NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
# TensorFlow takes 1.6 GB and other versions of what we use.
KERAS_VENV := .venv-keras
KERAS_READY := $(KERAS_VENV)/.ready

.PHONY: help has-data has-masks serve train phantoms release picture image test-image bench test test-heavy fuzz check docs format lock clean

RELEASED := pretrained/spine_autoencoder.bentomodel
# Seed 9 was chosen by counts alone: of the patients that it holds out, 8 have masks. training/LOG.md
# explains why the code has 32 numbers, and the doubts.
RELEASE_OPTIONS := --latent 32 --seed 9 --describe "SPIDER lumbar spine MR (van der Graaf et al. 2024, CC BY 4.0): middle sagittal T1 and T2 slices, T2 SPACE slices"

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN)/python:
	@command -v "$$typed_PYTHON" > /dev/null || { echo "make: $$typed_PYTHON is no program here; name a Python 3.11 or newer with PYTHON=" >&2; exit 1; }
	@"$$typed_PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null || { echo "make: $$typed_PYTHON is not Python 3.11 or newer; name one with PYTHON=" >&2; exit 1; }
	@"$$typed_PYTHON" requirements/install.py environment $(VENV)

$(SERVE_READY): requirements/serve.txt | $(BIN)/python
	@$(INSTALL) "what serving needs" "88 MB to download, 370 MB on disk" requirements/serve.txt
	@touch $@

$(PHANTOMS_READY): requirements/train.txt $(SERVE_READY)
	@$(INSTALL) "what phantoms need" "76 MB to download, 750 MB on disk in all" requirements/train.txt
	@touch $@

$(TRAIN_READY): requirements/torch.txt $(PHANTOMS_READY)
	@$(INSTALL) "what training needs" "193 MB to download for torch's CPU build, more for CUDA; 1530 MB on disk in all" requirements/torch.txt
	@touch $@

$(BENCH_READY): requirements/bench.txt $(TRAIN_READY)
	@$(INSTALL) "what the benchmark's other contenders need" "1 MB to download" requirements/bench.txt
	@touch $@

$(KERAS_READY): requirements/keras.txt | $(BIN)/python
	@$(BIN)/python requirements/install.py environment $(KERAS_VENV)
	@$(KERAS_VENV)/bin/python requirements/install.py "TensorFlow" "1600 MB on disk" requirements/keras.txt
	@touch $@

$(TOOLS_READY): requirements/dev.txt $(SERVE_READY)
	@$(INSTALL) "what tests and checks need" "289 MB to download" requirements/dev.txt
	@touch $@

$(DEV_READY): $(TOOLS_READY) $(TRAIN_READY)
	@touch $@

serve: $(SERVE_READY) ## answer POST /predict on PORT (8000), with the model in production, else the newest
	@$(BIN)/python -m model.store import $(RELEASED) > /dev/null
	@$(BIN)/python -m serving.process.preflight --host "$$typed_HOST" --port "$$typed_PORT"
	@exec $(BIN)/bentoml serve service:SpineAnomaly --host "$$typed_HOST" --port "$$typed_PORT" --timeout-graceful-shutdown 20

# Before anything is installed.
has-data:
	@[ -n "$$typed_DATA" ] || { echo "make: name a folder of DICOM files: make $(firstword $(MAKECMDGOALS)) DATA=folder" >&2; exit 2; }
	@[ -e "$$typed_DATA" ] || { echo "make: there is no $$typed_DATA here; name a folder of DICOM files with DATA=" >&2; exit 2; }

has-masks:
	@[ -e "$$typed_MASKS" ] || { echo "make: name a folder of masks with MASKS=" >&2; exit 2; }

train: has-data $(TRAIN_READY) ## train on DATA=folder; NAME= in the model store, ARGS= more folders and options of fit
	@$(BIN)/python -m training fit "$$typed_DATA" --name "$$typed_NAME" $(ARGS)

phantoms: $(PHANTOMS_READY) ## write synthetic slices into phantoms/, to try everything on
	@$(BIN)/python -m training phantom phantoms --count 60 --seed 1 --force

release: has-data has-masks $(TRAIN_READY) ## train the released model again on DATA= and MASKS= (folders), into pretrained/
	@$(BIN)/python -m training fit "$$typed_DATA" --masks "$$typed_MASKS" --name "$$typed_NAME" $(RELEASE_OPTIONS) || [ $$? = 3 ]
	@$(BIN)/python -m model.store export "$$typed_NAME" $(RELEASED) --force
	@$(MAKE) --no-print-directory picture

picture: $(TRAIN_READY) ## draw the README's picture with the released model
	@$(BIN)/python -m training.evaluation.picture $$($(BIN)/python -m model.store import $(RELEASED)) pretrained/example.png

image: $(SERVE_READY) ## build the Bento and its image dicom-autoencoder:latest (MODEL= and TAG= for others)
	@$(BIN)/python -m image $(if $(value MODEL),--model "$$typed_MODEL") $(if $(value TAG),--tag "$$typed_TAG") $(if $(value LABEL_VERSION),--version "$$typed_LABEL_VERSION") $(ARGS)

test-image: $(TOOLS_READY) image ## build it, and run it under the limits that it is made for
	@$(if $(value TAG),IMAGE="$$typed_TAG") $(BIN)/python -m pytest -m image tests/image

bench: $(BENCH_READY) $(if $(filter keras,$(PEER)),$(KERAS_READY)) ## measure the service next to its alternatives (PEER=keras: the original's design too)
	@$(BIN)/python -m model.store import $(RELEASED) > /dev/null
	@$(BIN)/python -m benchmarks.serve $(if $(filter keras,$(PEER)),--keras $(KERAS_VENV)/bin/python) --json runs/bench/serve.json --png runs/bench/serve.png $(ARGS)

test: $(DEV_READY) ## run the tests, four minutes on two cores (ARGS= goes to pytest)
	@$(BIN)/python -m pytest -q -n auto --maxprocesses 4 --dist worksteal $(ARGS)

test-heavy: $(DEV_READY) ## run the tests that take minutes
	@$(BIN)/python -m pytest -m heavy $(ARGS)

fuzz: $(DEV_READY) ## look for SECONDS= (60) for bytes that break the reading of files
	@$(BIN)/python -m tests.security.files.fuzz_read_image --seconds "$$typed_SECONDS"

check: $(DEV_READY) ## lint, format, types, words, docs, workflows and recipes; needs no network
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/codespell
	@$(MKDOCS)
	@$(BIN)/zizmor --quiet --offline --pedantic .github
	@$(call fits,--builtin-schema vendor.github-workflows .github/workflows/*.yml)
	@$(call fits,--builtin-schema vendor.dependabot .github/dependabot.yml)
	@$(call fits,--builtin-schema vendor.compose-spec deploy/compose.yaml)
	@$(call fits,--builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/bug.yml .github/ISSUE_TEMPLATE/feature.yml)
	@$(call fits,--builtin-schema vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml)
	@$(call fits,--builtin-schema vendor.citation-file-format CITATION.cff)
	@$(BIN)/python -m tests.deploy.ecs
	@$(BIN)/kubernetes-validate --quiet --strict -k 1.31 -k 1.37 \
	  $(filter-out %/kustomization.yaml,$(wildcard deploy/kubernetes/*.yaml))

docs: $(TOOLS_READY) ## build the documentation into build/docs
	@$(MKDOCS)
	@echo "build/docs/index.html (searching needs a server: python3 -m http.server --directory build/docs)"

format: $(DEV_READY) ## let ruff rewrite what it can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

lock: $(DEV_READY) ## write requirements/*.txt again from requirements/*.in
	@$(INSTALL) "uv, which writes the locks" "20 MB" requirements/image.txt
	@for name in serve image train bench keras dev; do \
	  if [ $$name = serve ]; then constraint=requirements/torch.txt; else constraint=requirements/serve.txt; fi; \
	  $(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	    -c $$constraint requirements/$$name.in -o requirements/$$name.txt; \
	done

clean: ## remove caches; the environment and the model store stay
	@rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +
