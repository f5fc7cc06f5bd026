"""What a wheel must do in an environment that holds NumPy and nothing else.

Run outside the source tree by the Python of such an environment.
"""

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import numpy as np

import tefast


def libraries_in_use(name: str) -> set[Path]:
    """Files of a library that this process has loaded; empty where the system does not say."""
    maps = Path("/proc/self/maps")
    lines = maps.read_text().splitlines() if maps.exists() else []
    return {Path(line.split()[-1]) for line in lines if name in line}


def check_packages() -> None:
    """Nothing is installed beside tefast, NumPy and pip."""
    found = {item.metadata["Name"].lower() for item in importlib.metadata.distributions()}
    assert found <= {"tefast", "numpy", "pip", "setuptools"}, found
    assert tefast.__version__ == importlib.metadata.version("tefast")


def check_counts() -> None:
    """Two threads count the same as the reference in NumPy."""
    rng = np.random.default_rng(0)
    h, y = rng.random((40, 25, 33)), rng.random((40, 25))
    h[:, 1:, 7] = 0.8 * y[:, :-1] + 0.2 * h[:, 1:, 7]
    for kind in (np.float64, np.float32, np.float16):
        values = h.astype(kind)
        fast = tefast.transfer_entropy(values, y, bins=4, backend="cpu", threads=2)
        slow = tefast.transfer_entropy(values, y, bins=4, backend="reference")
        np.testing.assert_allclose(fast, slow, rtol=0, atol=1e-12)
        assert fast.argmax() == 7


def check_runtime() -> None:
    """OpenMP's library is the one in the wheel."""
    build = tefast.build_info()
    assert build["backends"]["cpu"] is True, build
    assert build["openmp"], build
    used = libraries_in_use("gomp")
    assert all("tefast.libs" in path.parts for path in used), used
    if sys.platform == "linux":
        assert used, "no OpenMP library is loaded"


def main() -> None:
    """Run all checks, and the command."""
    check_packages()
    check_counts()
    check_runtime()
    subprocess.run(
        [Path(sys.executable).with_name("tefast"), "--help"], check=True, stdout=subprocess.DEVNULL
    )
    build = tefast.build_info()
    print(
        f"Python {sys.version.split()[0]}, NumPy {np.__version__}: tefast {tefast.__version__} "
        f"counts as the reference does, level {build['instruction_set']}"
    )


if __name__ == "__main__":
    main()
