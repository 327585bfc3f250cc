# Everything runs in .venv at the top of the repository, which the first target that needs it makes by itself.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Written when everything is installed; older than the requirements means install again.
INSTALLED := $(VENV)/.installed
ARGS ?=
# What the tests need; ray alone is as large as all of it, and its tests skip without it.
EXTRAS := export demo sweep loggers dashboards analysis huggingface multispectral weights docs dev

.DEFAULT_GOAL := help
.PHONY: help train test test-slow promises lint format audit docs notebooks lock clean

help: ## show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

train: $(INSTALLED) ## train on generated street scenes; make train ARGS="data=camvid data.root=PATH"
	$(BIN)/contextrast-train $(ARGS)

test: $(INSTALLED) ## run the tests, with coverage; make test ARGS="tests/contrast"
	$(BIN)/python -m pytest -m "not slow" -n 2 --cov $(ARGS)

test-slow: $(INSTALLED) ## run the tests that take minutes
	$(BIN)/python -m pytest -m slow $(ARGS)

promises: $(INSTALLED) ## run the long checks of docs/promises.md, hours; make promises ARGS="memory fuzz"
	$(BIN)/python scripts/show_promises.py $(ARGS)

lint: $(INSTALLED) ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(INSTALLED) ## mend style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

audit: $(INSTALLED) ## look the pinned versions up in a vulnerability database; needs a network
	$(BIN)/uv tool run pip-audit --disable-pip --no-deps -r requirements.lock

docs: $(INSTALLED) ## build the documentation into build/docs; a broken link is an error
	$(BIN)/python -m sphinx -W --keep-going -q docs build/docs

notebooks: $(INSTALLED) ## run the notebooks and keep their outputs
	$(BIN)/python scripts/run_notebooks.py notebooks/*.ipynb

lock: $(INSTALLED) ## pin the newest versions that pyproject.toml allows
	$(BIN)/uv pip compile pyproject.toml $(EXTRAS:%=--extra %) --universal --upgrade --quiet \
		--no-emit-index-url --no-header --no-annotate -o requirements.lock

clean: ## remove caches and build products; keeps .venv, runs and results
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage htmlcov dist build
	find src tests scripts -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLED): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed, $(PYTHON) is `$(PYTHON) --version`: make PYTHON=python3.12 ..." >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet uv  # installs in half a minute what pip needs several for
	$(BIN)/uv pip install --python $(BIN)/python --quiet -r requirements.lock
	$(BIN)/uv pip install --python $(BIN)/python --quiet --no-deps -e .
	@touch $@
