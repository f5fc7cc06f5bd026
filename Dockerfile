# The study, whole: `docker build -t tefast .`, then `docker run --rm -v "$PWD/runs:/tefast/runs" tefast`.
#
# With an NVIDIA GPU: `docker build --build-arg DEVICE=cuda -t tefast .`, which compiles the CUDA library
# too, and `docker run --gpus all ...`.
ARG DEVICE=cpu
ARG PYTHON=3.11

FROM python:${PYTHON}-slim-bookworm AS base-cpu
ENV TEFAST_CUDA=OFF PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu

# nvcc and its headers; PyTorch's own wheels bring the libraries that a program needs.
FROM nvidia/cuda:12.8.1-devel-ubuntu24.04 AS base-cuda
ENV TEFAST_CUDA=ON

# hadolint ignore=DL3006
FROM base-${DEVICE} AS study
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends g++ \
 && if ! command -v pip; then apt-get install -y --no-install-recommends python3-dev python3-venv; fi \
 && rm -rf /var/lib/apt/lists/*

WORKDIR /tefast
RUN python3 -m venv /opt/tefast
ENV PATH=/opt/tefast/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
# What changes seldom comes first, so that a change of the code does not install everything again.
COPY constraints.txt ./
RUN pip install -c constraints.txt scikit-build-core pybind11 cmake ninja torch
COPY CMakeLists.txt LICENSE README.md pyproject.toml ./
COPY csrc csrc
COPY tefast tefast
RUN pip install -c constraints.txt --no-build-isolation \
      -C "cmake.define.TEFAST_CUDA=${TEFAST_CUDA}" ".[experiment]" \
 && pip install -c constraints.txt --no-deps aeon seglearn

# Results are written to runs/, by a user without rights; the sources are not imported in place of
# what was installed.
RUN rm -rf csrc tefast && useradd --create-home --uid 10001 study && install -d -o study runs
USER 10001
VOLUME /tefast/runs
ENTRYPOINT ["python", "-m", "tefast.experiment"]
CMD ["--out", "runs/experiment"]
