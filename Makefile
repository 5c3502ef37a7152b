# Two commands do everything on a fresh machine with Python 3.11+: `make demo` and `make test`.
PYTHON ?= python3
TORCH ?= 2.13.0
VENV := .venv
BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
STAMP := $(VENV)/.installed
RECIPE := recipes/open_audio

.PHONY: install demo test test-recipes lint bench site dist api clean-install clean

install: $(STAMP)

$(STAMP): pyproject.toml $(RECIPE)/pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet "torch==$(TORCH)"
	$(BIN)/python -m pip install --quiet --editable ".[dev]" --editable "$(RECIPE)[dev]"
	touch $(STAMP)

demo: install
	$(BIN)/axlstm demo --out demo

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint
	$(BIN)/python -m pytest -n 2
	$(MAKE) test-recipes

test-recipes: install
	$(BIN)/python -m pytest -n 2 $(RECIPE)

bench: install
	$(BIN)/python -m benchmarks embedding

site: install
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build

dist: install
	rm -rf dist
	$(BIN)/python -m release dist

api: install
	$(BIN)/python -m release api

clean-install: dist
	$(BIN)/python -m release clean-install dist/*.whl --dependencies oldest --torch $(TORCH)
	$(BIN)/python -m release clean-install dist/*.whl --dependencies newest --torch $(TORCH) --sbom dist/axlstm.cdx.json

clean:
	rm -rf $(VENV) demo dist build site
