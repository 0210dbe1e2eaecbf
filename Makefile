# Every target works with Python 3.11+ and make alone; `install` runs by itself where it is needed.
# The real job:   make train-resnet50-cv DATA=/path/to/chest_xray COVID=/path/to/covid-chestxray-dataset WEIGHTS=imagenet
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
CONFIGS := $(filter-out sample,$(basename $(notdir $(wildcard configs/*.yaml))))
TUNED  := $(basename $(notdir $(shell grep -l "^tune:" configs/*.yaml)))
SET    ?=

# Without DATA the job runs on phantoms, small, in minutes.
ifdef DATA
comma  := ,
SOURCES := data.sources='[kermany:$(DATA)$(if $(COVID),$(comma)ieee8023:$(COVID))]'
JOB    := $(SOURCES) $(if $(WEIGHTS),model.weights='$(WEIGHTS)') $(SET)
else
JOB    := --sample $(if $(WEIGHTS),model.weights='$(WEIGHTS)') $(SET)
endif

.DEFAULT_GOAL := help
.PHONY: help install install-dev test test-slow lint format bench clean $(CONFIGS:%=train-%) $(CONFIGS:%=train-%-cv) $(TUNED:%=tune-%)

help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 22
	@echo "train-CONFIG-cv       Cross-validate configs/CONFIG.yaml, e.g. make train-resnet50-cv"
	@echo "tune-CONFIG           Search settings, of $(TUNED)"
	@echo "train-CONFIG          Train configs/CONFIG.yaml on one split, e.g. make train-mini_vgg"
	@echo
	@echo "Configs: $(CONFIGS)"
	@echo "Options: DATA=DIR COVID=DIR WEIGHTS=imagenet|FILE SET='key=value ...' (without DATA: phantoms)"

install: $(VENV)/.installed ## Make .venv and install the package with the tested versions

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; $(PYTHON) is `$(PYTHON) --version`. Give another with PYTHON=python3.12."; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: setup.cfg pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	@touch $@

install-dev: $(VENV)/.installed-dev ## The same with the tools of tests and linting

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test,lint]'
	@touch $@

# Static patterns: make looks for no implicit rule of a phony target.
$(CONFIGS:%=train-%-cv): train-%-cv: $(VENV)/.installed
	$(BIN)/cxr cv configs/$*.yaml $(JOB)

$(CONFIGS:%=train-%): train-%: $(VENV)/.installed
	$(BIN)/cxr train configs/$*.yaml $(JOB)

$(TUNED:%=tune-%): tune-%: $(VENV)/.installed
	$(BIN)/cxr tune configs/$*.yaml $(JOB)

# Names may be written with dashes: make train-vgg16-features.
define dashed
.PHONY: train-$(subst _,-,$(1)) train-$(subst _,-,$(1))-cv
train-$(subst _,-,$(1)): train-$(1)
train-$(subst _,-,$(1))-cv: train-$(1)-cv
endef
$(foreach config,$(CONFIGS),$(if $(findstring _,$(config)),$(eval $(call dashed,$(config)))))
define dashed_search
.PHONY: tune-$(subst _,-,$(1))
tune-$(subst _,-,$(1)): tune-$(1)
endef
$(foreach config,$(TUNED),$(if $(findstring _,$(config)),$(eval $(call dashed_search,$(config)))))

test: $(VENV)/.installed-dev lint ## Lint, then all tests but the slow ones
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not slow"

test-slow: $(VENV)/.installed-dev ## The tests that take long, left out of `make test`
	$(BIN)/python -m pytest -m slow

lint: $(VENV)/.installed-dev ## ruff, import-linter, mypy on the pure modules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

format: $(VENV)/.installed-dev ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.installed-dev ## Run the benchmarks, on IMAGES=DIR or phantoms (minutes; keep the machine quiet)
	$(BIN)/python -m pip install --quiet 'torch==2.13.0'
	$(BIN)/python benchmarks/input_pipeline.py $(if $(IMAGES),--images $(IMAGES))

clean: ## Remove the virtual environment and caches; runs/ and data/ stay
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
