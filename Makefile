# Two commands do everything on a fresh machine with Python 3.11: `make demo` and `make test`.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: demo test lint docs unit wheel study clean

demo: $(VENV)/.installed
	$(BIN)/segnoise demo fields -o demo --overwrite

test: lint docs unit wheel

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --upgrade pip
	$(PIP) install -c constraints.txt -e ".[dev,docs]"
	touch $@

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.installed
	$(BIN)/mkdocs build --strict --quiet

unit: $(VENV)/.installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not study" -n 2 --dist loadscope

# The wheel in an environment of its own, its demo from an empty folder: proves what is packaged.
wheel: $(VENV)/.installed
	rm -rf build/wheel && mkdir -p build/wheel/empty
	$(BIN)/python -m build --wheel --outdir build/wheel .
	$(PYTHON) -m venv build/wheel/venv
	build/wheel/venv/bin/python -m pip --disable-pip-version-check --quiet install -c constraints.txt build/wheel/*.whl
	cd build/wheel/empty && ../venv/bin/segnoise demo fields -o demo --quiet && cat demo/summary.json
	$(BIN)/python tools/check_demo.py build/wheel/empty/demo
	rm -rf build/wheel/venv

study: $(VENV)/.installed
	$(BIN)/python -m pytest -m study

clean:
	rm -rf $(VENV) build dist site demo .pytest_cache .mypy_cache .ruff_cache
