"""What several test files share."""

import os

import pytest
from disks import disk  # noqa: F401  a fixture

from tefast import _backends

# "emulated" is the backend "cuda" on an emulated device. It needs a C++ compiler and PyTorch.
BACKENDS = ["reference", "cpu", "emulated", pytest.param("cuda", marks=pytest.mark.cuda)]


def pytest_runtest_setup(item):
    if item.get_closest_marker("cuda"):
        reason = _backends.load("cuda").missing()
        if reason and os.environ.get("TEFAST_REQUIRE_CUDA", "0") not in ("", "0"):
            pytest.fail(f"TEFAST_REQUIRE_CUDA is set, but {reason}", pytrace=False)
        if reason:
            pytest.skip(reason)


@pytest.fixture(params=BACKENDS)
def backend(request):
    """The name of a backend."""
    if request.param != "emulated":
        yield request.param
        return
    pytest.importorskip("torch")
    import emulated

    with emulated.backend():
        yield "cuda"


@pytest.fixture(scope="module")
def one_thread():
    """Layers as small as those of the tests only lose time to threads."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
