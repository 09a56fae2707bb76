# make fit [EXPERIMENT=no_lste]   train an experiment (sets everything up first)
# make test                       the tests
PYTHON ?= python3
EXPERIMENT ?= full
ARGS ?=
VENV := .venv
RUN := $(VENV)/bin/python

.PHONY: install fit test lint types table clean

install: $(VENV)/installed

# Done again only when the requirements change.
$(VENV)/installed: pyproject.toml constraints.txt lightning_modules/__main__.py
	test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

fit: install
	$(RUN) -m lightning fit --config experiments/$(EXPERIMENT).yaml $(ARGS)

test: install
	$(RUN) -m pytest $(ARGS)

lint: install
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .

types: install
	$(RUN) -m mypy

# Table 4 on ShapesInMotion: trains until every row is decided, then prints it.
table: install
	$(RUN) -m lightning_modules sweep experiments/sweeps/table_4.yaml --until decided --max-seeds 6 --jobs 2 $(ARGS)
	$(RUN) -m lightning_modules compare runs --baseline full --html table_4.html

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache
