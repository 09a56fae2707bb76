# make fit [EXPERIMENT=no_lste]   train an experiment (sets everything up first)
# make test                       the tests that take minutes; make test-all has the long ones too
# make test-oldest                core tests with the oldest versions that pyproject.toml allows
# make gpu                        what only a CUDA device can show, in 8 minutes; without one, a rehearsal at toy size
PYTHON ?= python3
EXPERIMENT ?= full
ARGS ?=
VENV := .venv
RUN := $(VENV)/bin/python

.PHONY: install fit test test-all test-oldest lint types table gpu clean

install: $(VENV)/installed

# Done again only when the requirements change.
$(VENV)/installed: pyproject.toml constraints.txt video_panda/__main__.py
	test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

fit: install
	$(RUN) -m lightning fit --config experiments/$(EXPERIMENT).yaml $(ARGS)

test: install
	$(RUN) -m pytest -m 'not long' $(ARGS)

test-all: test
	$(RUN) -m pytest -m long $(ARGS)

OLDEST := .venv-oldest/bin/python
test-oldest:
	test -x $(OLDEST) || $(PYTHON) -m venv .venv-oldest
	$(OLDEST) -m pip install --quiet --disable-pip-version-check uv
	$(OLDEST) -m uv pip install --quiet --python $(OLDEST) --resolution lowest-direct --editable '.[dev]'
	$(OLDEST) -m pytest $(or $(ARGS),tests/components tests/lightning_modules/test_experiments.py)

lint: install
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .

types: install
	$(RUN) -m mypy

# Table 4 on ShapesInMotion: trains until every row is decided, then prints it.
table: install
	$(RUN) -m lightning_modules sweep experiments/sweeps/table_4.yaml --until decided --max-seeds 6 --jobs 2 $(ARGS)
	$(RUN) -m lightning_modules compare runs --baseline full --html table_4.html

gpu: install
	$(RUN) -m benchmarks.gpu $(ARGS)

clean:
	rm -rf $(VENV) .venv-oldest .mypy_cache .pytest_cache .ruff_cache
