# `make` lists what can be done. Every target makes the environment first, once.
SHELL := bash
BIN := $(if $(filter Windows_NT,$(OS)),.venv/Scripts,.venv/bin)
PYTHON_FILES := src tests benchmarks training scripts

.DEFAULT_GOAL := help
.PHONY: help env demo figures docs starter lint format test test-long clean

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

env: .venv/ready ## Make .venv with everything that demo and tests need
	@:

.venv/ready: pyproject.toml constraints.txt scripts/setup.sh scripts/display.sh
	@scripts/setup.sh
	@touch $@

demo: .venv/ready ## Paint, train, predict and correct in a real napari; results in demo-output/
	@$(BIN)/napari-unet demo --output demo-output

figures: demo ## Renew every picture of README.md and docs/ from the running program
	$(BIN)/python scripts/pictures.py demo-output docs/images
	$(shell command -v xvfb-run >/dev/null && echo xvfb-run -a) $(BIN)/python scripts/tour.py docs/images
	$(BIN)/python scripts/network_figure.py docs/images
	$(BIN)/python scripts/weights_figure.py docs/images

docs: .venv/ready ## Build the documentation into site/; a broken link is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

STARTER := $(BIN)/python training/make_starter.py --data ../shared/data --resume
DRAWN_ONLY := fluorescence histology phase brightfield membranes

starter: .venv/ready ## Train the starter "cells" anew; hours, and it goes on where it was stopped
	mkdir -p build/starter
	$(STARTER) --output build/starter/1.safetensors --leave-out $(DRAWN_ONLY) --steps 4250 --tail 0
	$(STARTER) --output build/starter/2.safetensors --start build/starter/1.safetensors --steps 1496
	$(STARTER) --output build/starter/3.safetensors --start build/starter/2.safetensors --steps 2254 --seed 1 --tail 0.4 \
	    --package src/napari_unet/data/starters/cells.safetensors

lint: .venv/ready ## Style, types, import floors and the napari manifest
	$(BIN)/ruff check $(PYTHON_FILES)
	$(BIN)/ruff format --check $(PYTHON_FILES)
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/npe2 validate napari-unet-interactive

format: .venv/ready ## Mend style and imports in place
	$(BIN)/ruff check --fix $(PYTHON_FILES)
	$(BIN)/ruff format $(PYTHON_FILES)

# Two files at a time; networks as small as those of the tests gain nothing by a second thread.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses 2 --dist loadfile

test: lint ## Lint, then all tests but the slow ones
	$(PYTEST)

test-long: lint ## Lint, then all tests
	$(PYTEST) -m ""

clean: ## Remove the environment, caches and demo results
	rm -rf .venv site build dist demo-output .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
