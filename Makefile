# Each target is enough on a fresh clone: it makes .venv, installs what is pinned, and runs.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt

.PHONY: experiment smoke test bench lint format dist clean

experiment: $(VENV)/installed
	$(BIN)/python -m tefast.experiment $(ARGS)

smoke: $(VENV)/installed
	$(BIN)/python -m tefast.experiment --preset smoke --out runs/smoke --fresh

test: $(VENV)/installed
	$(BIN)/python -m pytest $(ARGS)

bench: $(VENV)/installed
	$(INSTALL) pytest-benchmark
	$(BIN)/python -m pytest benchmarks --benchmark-sort=name \
		--benchmark-columns=median,iqr,rounds --benchmark-json=build/bench.json $(ARGS)

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run --Werror $$(git ls-files 'csrc/*.cpp' 'csrc/*.hpp')

format: $(VENV)/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $$(git ls-files 'csrc/*.cpp' 'csrc/*.hpp')

# An sdist and a wheel, the wheel tried in an environment of its own.
dist: $(VENV)/installed
	rm -rf dist build/dist-venv
	$(BIN)/python -m build -q
	$(PYTHON) -m venv build/dist-venv
	build/dist-venv/bin/python -m pip install -q -c constraints.txt dist/*.whl
	cd build && dist-venv/bin/python -c "import tefast; assert tefast.build_info()['backends']['cpu'] is True; print(tefast.__version__)"

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

# The install is editable and rebuilds the C++ code when it has changed, so it needs the build
# tools in the environment itself.
$(VENV)/installed: pyproject.toml constraints.txt CMakeLists.txt
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'tefast needs Python 3.11 or newer: make PYTHON=python3.11 ...')"
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) scikit-build-core pybind11 cmake ninja
	$(INSTALL) --no-build-isolation --config-settings=editable.rebuild=true --config-settings=editable.verbose=false \
		--config-settings=build-dir=build/editable \
		--config-settings=cmake.define.TEFAST_WERROR=ON -e ".[test,lint]" build
	touch $@
