# make demo    three hospitals and a centre on this machine, from DICOM to a federated model and its report
# make test    everything that must hold, in under half an hour on two cores
# Both set up all they need in .venv and build/, and leave no process behind.

PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
UV     := uv==0.13.8
BESIDE := -n 2 --dist loadfile # a file stays in one process: its tests share what is dear to make

# Compiled once here: where PYTHONDONTWRITEBYTECODE is set, every process would compile torch and Airflow anew.
# uv reads neither pip's folder of wheels nor its certificates by itself.
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
export UV_LINK_MODE  ?= copy

.PHONY: help setup demo demo-stop test images test-all stack-test lint format bench clean distclean

help: ## Show the targets.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

setup: $(READY) ## Make .venv with every pinned dependency.

$(READY): pyproject.toml constraints.txt
	@echo "== Setting up $(VENV) (about 2.5 GB once; the downloads take a few minutes)"
	@sh scripts/make_venv.sh $(PYTHON) $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check "$(UV)"
	@$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(READY) ## Three hospitals, one centre, from DICOM to a federated model (KEEP=1 leaves it running).
	@$(BIN)/konsil demo run $(if $(KEEP),--keep)

demo-stop: $(READY) ## End a demo that was left running.
	@$(BIN)/konsil demo stop

test: $(READY) lint ## Lint and all tests but the whole demo.
	@sh scripts/need_chromium.sh
	@sh scripts/need_programs.sh
	@echo "== Tests with real Airflow instances (about ten minutes; they fill two cores by themselves)"
	@$(BIN)/python -m pytest tests/e2e
	@echo "== All other tests, side by side"
	@$(BIN)/python -m pytest $(BESIDE) --ignore=tests/e2e

images: $(READY) ## Take the pictures of docs/images anew, with a real browser.
	@sh scripts/need_chromium.sh
	@KONSIL_IMAGES=$(CURDIR)/docs/images $(BIN)/python -m pytest -m e2e tests/e2e/test_e2e_path.py tests/e2e/test_e2e_pictures.py

test-all: $(READY) lint ## All tests and the whole demo.
	@sh scripts/need_chromium.sh
	@sh scripts/need_programs.sh
	@sh scripts/need_redis.sh
	@$(BIN)/python -m pytest -m "demo or not demo" tests/e2e tests/demo
	@KONSIL_FUZZ=10000 $(BIN)/python -m pytest $(BESIDE) -m "not containers" --ignore=tests/e2e --ignore=tests/demo

stack-test: $(READY) ## The containers: build the images, run a stack of them, take it down (FOLDER keeps the engine's data).
	@sh scripts/stack_test.sh $(if $(FOLDER),$(FOLDER),$(CURDIR)/build/containers)

lint: $(READY) ## ruff, mypy strict, import layers.
	@echo "== Lint"
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-logo 2>/dev/null || $(BIN)/lint-imports

format: $(READY) ## Let ruff write the code its way.
	@$(BIN)/ruff check --fix --quiet . && $(BIN)/ruff format --quiet .

bench: $(READY) ## Make every figure we claim, into build/bench/.
	@mkdir -p build/bench
	@for file in bench/*.py; do echo "== $$file"; $(BIN)/python $$file --json build/bench/$$(basename $$file .py).json || exit 1; done

clean: ## Remove what was built; stops a demo first.
	@if [ -x $(BIN)/konsil ]; then $(BIN)/konsil demo stop || true; fi
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

distclean: clean ## Remove .venv as well.
	rm -rf $(VENV)
