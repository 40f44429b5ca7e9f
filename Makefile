# `make help` lists what there is. Python 3.11 or later, git and make are all that has to be installed.

PYTHON  ?= python3
PROFILE ?= quick
SEEDS   ?= 1
CORES   ?= all
TABLES  ?= self_training
ROOT    ?=

export PATH := $(CURDIR)/.venv/bin:$(PATH)
# On Linux, freed tensors stay with the process instead of going back to the kernel page by page: the same results, to
# the bit, in less time on a CPU.
export MALLOC_MMAP_THRESHOLD_ := 4294967296
export MALLOC_TRIM_THRESHOLD_ := 17179869184
READY := .venv/installed

.DEFAULT_GOAL := help
.PHONY: help tables claims test lab notebooks

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

tables: $(READY) ## run notebooks and recipes, write figures/ (TABLES=all SEEDS=3 PROFILE=quick CORES=all ROOT=datasets)
	snakemake --cores $(CORES) --resources gpu=1 --rerun-incomplete --nolock --quiet host \
	    --config profile=$(PROFILE) seeds=$(SEEDS) tables="$(TABLES)" root="$(ROOT)"

claims: $(READY) ## hold the papers' claims against the tables in figures/
	udalib claims --tables figures/tables --out figures/claims

test: $(READY) ## check the style, run all tests and all notebooks under the smoke profile
	ruff check .
	ruff format --check .
	OMP_NUM_THREADS=1 pytest -n 2 --dist loadfile --nbval-lax tests notebooks

lab: $(READY) ## open the course in JupyterLab
	jupyter lab notebooks/00_tour.ipynb

notebooks: $(READY) ## rebuild the stored notebooks from notebooks/source and execute them (11 needs ROOT=datasets)
	python notebooks/build.py --profile $(PROFILE) $(if $(ROOT),--data-root "$(ROOT)")

$(READY): pyproject.toml
	test -x .venv/bin/pip || $(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --editable '.[course,batch,dev]'
	touch $@
