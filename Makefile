# Two commands: `make demo` and `make test`. Each does all the set-up it needs.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
LANGUAGE_MODEL := qwen2.5-coder-1.5b
export MEDVIZ_HOME ?= $(CURDIR)/demo
export MEDVIZ_MODELS ?= $(HOME)/.local/share/medviz/models

.PHONY: demo test check setup system weights walkthrough clean

demo: setup weights ## Set everything up and take the real sample from DICOM to a draft
	$(BIN)/medviz doctor || true
	$(BIN)/medviz demo $(DEMO_OPTIONS)

test: setup system weights ## Set everything up and pass every test
	$(BIN)/pytest tests

check: setup ## Lint, types, import rules and the fast tests: under three minutes
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -n 2 tests/unit tests/contracts -m "not slow and not model" --durations=5

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet torch==2.13.0
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

weights: setup ## The language model (1.1 GB), once per user
	$(BIN)/medviz models pull $(LANGUAGE_MODEL)

system: ## Debian packages that the tests' reference pictures and checks need
	sh .ci/system-packages

walkthrough: setup weights ## Make the pictures of docs/walkthrough.md anew
	$(BIN)/python docs/make_walkthrough.py

clean: ## Remove the environment and the demo's cases
	rm -rf $(VENV) demo build dist
