# The two commands: `make demo` and `make test`. Both install what they need into .venv first.

PYTHON ?= python3
# cpu or cuda; cuda where an NVIDIA driver answers
TORCH ?= $(if $(shell nvidia-smi -L 2>/dev/null),cuda,cpu)
TORCH_CPU_INDEX ?= https://download.pytorch.org/whl/cpu

BIN := .venv/bin
PIP := $(BIN)/pip install --disable-pip-version-check --quiet --constraint constraints.txt
DEMO := runs/demo
AGENTS := expert,random,thinkjepa,flat_cem,vlm_only,oracle_goal
# episodes of each agent
LIMIT := 2

.PHONY: install demo test test-slow benchmark clean

install: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	@echo "Installing into .venv (torch: $(TORCH)) ..."
	$(PYTHON) -m venv .venv
	$(MAKE) --no-print-directory torch-$(TORCH)
	$(PIP) --editable '.[dev,certify]'
	@touch $@

# A wheel in a folder that pip is configured with comes first, then the index of CPU builds.
.PHONY: torch-cpu torch-cuda
torch-cpu:
	@$(PIP) --no-index --no-deps torch 2>/dev/null || $(PIP) --extra-index-url $(TORCH_CPU_INDEX) torch
torch-cuda:
	@$(PIP) torch

demo: install
	@rm -rf $(DEMO)
	$(BIN)/harness run -m benchmark=thinkbench agent=$(AGENTS) limit=$(LIMIT) video=first:1 executor=ray run_dir=$(DEMO)
	@$(BIN)/harness report $(DEMO)/* > $(DEMO)/report.md
	@cat $(DEMO)/report.md
	@echo "Report: $(DEMO)/report.md"
	@echo "Videos:" && ls $(DEMO)/*/videos/*.mp4

test: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -m "not slow" -n 2 --dist loadfile --no-loadscope-reorder

test-slow: install
	$(BIN)/pytest -m slow

benchmark: install
	$(BIN)/python -m tests.benchmarks harness world -o results/reference/benchmarks

clean:
	rm -rf .venv build *.egg-info
