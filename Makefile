# `make` lists what can be done. Every target makes the environment first, once.
SHELL := bash
BIN := $(if $(filter Windows_NT,$(OS)),.venv/Scripts,.venv/bin)
PYTHON_FILES := src tests benchmarks training scripts

.DEFAULT_GOAL := help
.PHONY: help env demo figures docs starter lint format test test-long test-newest test-oldest coverage clean

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

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

VIEWS := build/starter/views
STARTER := $(BIN)/python training/make_starter.py --views $(VIEWS) --resume
PACKAGED := src/napari_unet/data/starters
DRAWN_ONLY := fluorescence histology phase brightfield membranes

$(VIEWS)/made: .venv/ready
	OMP_NUM_THREADS=1 $(BIN)/python training/make_views.py --data ../shared/data --output $(VIEWS) --drawn 4000 --real 3000
	touch $@

starter: $(VIEWS)/made ## Train the starters anew; minutes on a GPU, hours without, and it goes on where it was stopped
	$(STARTER) --output build/starter/1.safetensors --leave-out $(DRAWN_ONLY) --steps 4250 --tail 0
	$(STARTER) --output build/starter/2.safetensors --start build/starter/1.safetensors --steps 1496
	$(STARTER) --output build/starter/3.safetensors --start build/starter/2.safetensors --steps 2254 --seed 1 --tail 0.4 \
	    --package $(PACKAGED)/cells.safetensors
	$(STARTER) --output build/starter/phase.safetensors --steps 7420 --batch 24 --patch 160 --tail 0.5 \
	    --package $(PACKAGED)/phase.safetensors

lint: .venv/ready ## Style, types, import floors and the napari manifest
	$(BIN)/ruff check $(PYTHON_FILES)
	$(BIN)/ruff format --check $(PYTHON_FILES)
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/npe2 validate napari-unet-interactive

format: .venv/ready ## Mend style and imports in place
	$(BIN)/ruff check --fix $(PYTHON_FILES)
	$(BIN)/ruff format $(PYTHON_FILES)

# Two files at a time. Networks as small as those of the tests lose by a second thread (napari's numba sets torch's, too);
# the long run has all threads, and none that spins while it waits.
PARALLEL := --numprocesses 2 --dist loadfile --no-loadscope-reorder
PYTEST := $(BIN)/pytest $(PARALLEL)
ONE_THREAD := OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1

test: lint ## Lint, then all tests but the slow ones
	$(ONE_THREAD) $(PYTEST)

test-long: lint ## Lint, then all tests
	OMP_WAIT_POLICY=PASSIVE $(PYTEST) -m ""

test-newest: ## The tests of src, with the newest releases that pyproject.toml allows (torch as in constraints.txt)
test-oldest: ## The same with the oldest
test-newest: RESOLUTION := highest
test-oldest: RESOLUTION := lowest-direct
test-newest test-oldest: test-%: .venv/ready
	$(BIN)/python -m venv --clear build/$*
	$(BIN:.venv/%=build/$*/%)/python -m pip install --quiet uv "$$(grep ^torch== constraints.txt)"
	$(BIN:.venv/%=build/$*/%)/uv pip install --quiet --python build/$* --resolution $(RESOLUTION) \
	    --group test --editable ".[all,bioimageio,distributed]"
	$(ONE_THREAD) $(BIN:.venv/%=build/$*/%)/pytest $(PARALLEL) tests/{core,network,files,cli,widgets}

coverage: .venv/ready ## Which statements the tests run; fails below 95 % of a floor, 85 % of the widgets
	$(ONE_THREAD) $(PYTEST) --cov --cov-report=
	@failed=0; for bar in core:95 network:95 files:95 widgets:85; do \
	    $(BIN)/coverage report --skip-covered --include="*/$${bar%:*}/*" --fail-under=$${bar#*:} || failed=1; \
	done; exit $$failed

clean: ## Remove the environment, caches and demo results
	rm -rf .venv site build dist demo-output .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
