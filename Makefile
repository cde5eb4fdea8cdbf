# Two commands for a newcomer: `make demo` and `make test`. Needs Python 3.11 or newer with venv, npm and make; nothing else.

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.ready-$(shell cat pyproject.toml tests/example_adapter/pyproject.toml .ci/constraints.txt | cksum | cut -d' ' -f1)
T ?= tests
B ?= 20000

.DEFAULT_GOAL := help
.PHONY: help venv demo test soak check lint format types imports docker fmt clean

help: venv ## What can be made (and make .venv)
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile | expand -t 16

soak: venv ## The keeper over 20,000 blocks of random faults, about an hour; B=2000 for fewer
	@SOAK_BLOCKS=$(B) $(BIN)/pytest -q -s -p no:randomly tests/e2e/test_soak.py

demo: venv ## Watch the keeper earn in a market crash, on an embedded devnet
	@$(BIN)/keeper demo

test: venv ## The whole test suite, in random order; T=tests/test_cli.py for a part
	@$(BIN)/pytest -n 2 --dist worksteal $(T)

check: lint format types imports docker ## Lint, format, types, import rules, Dockerfile

lint: venv
	@$(BIN)/ruff check

format: venv
	@$(BIN)/ruff format --check

types: venv
	@$(BIN)/mypy

imports: venv
	@$(BIN)/lint-imports

docker: venv
	@$(BIN)/hadolint Dockerfile && echo "Dockerfile: ok"

fmt: venv ## Format and fix what can be fixed
	@$(BIN)/ruff check --fix-only --quiet
	@$(BIN)/ruff format

venv: $(STAMP) ## The environment, with `keeper` in .venv/bin

$(STAMP): pyproject.toml tests/example_adapter/pyproject.toml .ci/constraints.txt
	@PYTHON=$(PYTHON) .ci/venv
	@touch $@

clean: ## Remove the environment and all caches
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find keeper tests -name __pycache__ -type d -prune -exec rm -rf {} +
