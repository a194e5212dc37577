# Everything one does with this tree. Each target first makes what it needs; nothing is done twice.

# PYTHON=... chooses a Python for the environment, which is made anew if another one made it. Without it the environment
# stays as it is, or is made by the first Python of 3.11 or later.
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# Versions and hashes of all that is installed; `make lock` writes them anew.
LOCKED := $(PIP) --require-hashes -r requirements/build.txt -r requirements
# Recorded exchanges with the original programs; they are kept beside this tree, not in it.
CONFORMANCE ?= $(firstword $(wildcard ../conformance ../*/conformance))
PASSING := tests/conformance-passing.txt
# Case names, areas or globs; all of them if empty.
CASES ?=
JOBS ?= 2
# Test processes at a time, two per core: a third of the suite's time is waiting for processes, files and a browser.
WORKERS ?= $(shell expr 2 '*' $$(getconf _NPROCESSORS_ONLN))
PARALLEL := -p tests.support.parallel --workers=$(WORKERS)
# More for pytest, or for nsqctl up: make test ARGS='-k queue -x', make run ARGS='--host=0.0.0.0'
ARGS ?=

.PHONY: help run test smoke explore kills test-compose lint format types cover bench bench-compare conformance docs configuration translations lock release clean \
	distclean FORCE

help:
	@echo 'make run          a local cluster in the foreground (ARGS="--nsqd=3")'
	@echo 'make test         every test (ARGS="-k name" for some)'
	@echo 'make smoke        a part of them that shows whether an installation is whole (LOCK=lowest, PYTHON=python3.13)'
	@echo 'make explore      a soak, and property tests with new random examples (MINUTES=10)'
	@echo 'make kills        kill -9 of nsqd under load, and whether what was acknowledged comes (ROUNDS=1000)'
	@echo 'make test-compose a cluster of containers, where there is a Docker engine'
	@echo 'make lint types   style and types;  make format  puts the style right'
	@echo 'make cover        the tests, and what they do not reach'
	@echo 'make bench        rates and latencies;  make bench-compare BASE=rev  against a revision'
	@echo 'make conformance  exchanges recorded from the original (CASES="name ..." for some)'
	@echo 'make docs         the documentation, as a site in site/'
	@echo 'make release      what is published, in dist/'
	@echo 'make translations  the texts of nsqadmin brought into its catalogues (LANGUAGE=de begins one more)'
	@echo 'make lock         requirements/ anew: versions and hashes of all that is installed'
	@echo 'make clean        remove what was made;  make distclean  the environment too'

# Does nothing where the environment fits.
$(VENV)/made: FORCE
	@scripts/environment.sh $(VENV) $(PYTHON)

# Installed anew only when what is to be installed has changed: its requirements, or what is compiled.
$(VENV)/installed: $(VENV)/made pyproject.toml requirements/run.txt $(wildcard setup.py compiling/*.py)
	@echo 'installing into $(VENV), which takes about a minute'
	$(LOCKED)/run.txt
	$(PIP) --no-build-isolation --no-deps -e .
	@$(BIN)/python -c 'from nsqcore import forms; forms.is_compiled() or print("installed in pure form, without the \
	compiled speed-ups: a C compiler and the headers of Python make them (on Debian: apt install gcc python3-dev)")'
	@touch $@

# What a file of requirements/ adds.
$(VENV)/installed-%: $(VENV)/installed requirements/%.txt
	@echo 'installing what $*.txt adds'
	$(LOCKED)/$*.txt
	@touch $@

# The newest versions that pyproject.toml allows, for every Python that it allows.
lock: $(VENV)/installed
	$(PIP) uv
	scripts/lock.sh $(BIN)/python

run: $(VENV)/installed
	$(BIN)/nsqctl up $(ARGS)

test: $(VENV)/installed-test
	$(BIN)/python -m pytest $(PARALLEL) -rs $(ARGS)

# Whether an installation is whole: the programs start, the web part and a cluster work. LOCK=lowest: with the lowest
# versions that pyproject.toml allows.
LOCK ?= test
SMOKE := tests/test_layers.py tests/nsqadmin tests/nsqcore/app tests/nsqcore/cluster tests/e2e/test_programs.py \
	tests/e2e/test_cluster.py tests/deploy/test_install.py
smoke: $(VENV)/installed-$(LOCK)
	$(BIN)/python -m pytest $(PARALLEL) -rs $(SMOKE) $(ARGS)

# Half of the minutes are a soak of the daemons, the others property tests with new random examples and random lives;
# stops at the first find. ONLY=soak or ONLY=examples for one of them.
MINUTES ?= 10
ONLY ?=
explore: $(VENV)/installed-test
	$(BIN)/python -m tests.support.explore $(MINUTES) $(ONLY)

# kill -9 of an nsqd under load, ROUNDS times; stops at the first fault.
ROUNDS ?= 1000
kills: $(VENV)/installed-test
	$(BIN)/python -m tests.support.kills $(ROUNDS)

# Containers, networks and volumes have names of their own and are removed at the end. The image is made without a
# registry: on Debian as root, with debootstrap.
test-compose: $(VENV)/installed-test
	NSQ_TEST_COMPOSE=1 $(BIN)/python -m pytest tests/compose -rs $(ARGS)

lint: $(VENV)/installed-lint
	$(BIN)/ruff check
	$(BIN)/ruff format --check

format: $(VENV)/installed-lint
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

types: $(VENV)/installed-lint
	$(BIN)/mypy

cover: $(VENV)/installed-test
	$(BIN)/coverage run -m pytest $(ARGS)
	$(BIN)/coverage report --skip-covered --show-missing

bench: $(VENV)/installed
	$(BIN)/python -m bench.run $(ARGS)

bench-compare: $(VENV)/installed
	@test -n "$(BASE)" || { echo 'which revision? make bench-compare BASE=rev' >&2; exit 1; }
	$(BIN)/python -m bench.compare --base $(BASE) $(ARGS)

conformance: $(VENV)/installed
	@test -n "$(CONFORMANCE)" || { echo 'no conformance corpus beside this tree; CONFORMANCE=dir names one' >&2; exit 1; }
	$(BIN)/python $(CONFORMANCE)/conform.py --bin $(CURDIR)/$(BIN) --jobs $(JOBS) $(CASES:%=-k %)

# What is published, in dist/: sdist, wheels (WHEELS=all: for every Python), chart, documentation, image, bill of materials.
release: $(VENV)/installed-docs docs
	scripts/release.sh $(VENV) dist

docs: $(VENV)/installed-docs
	$(BIN)/mkdocs build --strict --quiet

# web/locale/, from the texts of nsqadmin's pages; a test tells when this is to be done. LANGUAGE=de begins one more.
translations: $(VENV)/installed-test
	$(BIN)/python scripts/translations.py $(LANGUAGE)

# docs/configuration.md, from the options classes; a test tells when this is to be done.
configuration: $(VENV)/installed
	$(BIN)/python scripts/configuration_reference.py

clean:
	rm -rf build dist site htmlcov .coverage .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	find . -name .venv -prune -o -name data -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean
	rm -rf $(VENV)
