"""Why the compiled module is missing, and what helps."""

from __future__ import annotations

import os
from importlib.metadata import distributions
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent


def reason(error: ImportError, package: Path = PACKAGE) -> str:
    """What to do about a compiled module that cannot be imported.

    Python puts the current folder, or that of the script, before all others. In the source tree
    it imports the sources beside it, which are not compiled, although ``pip install .`` has
    compiled and installed them elsewhere.

    Parameters
    ----------
    error : ImportError
        What the import raised.
    package : Path
        The folder of the package that was imported.
    """
    tree = package.parent
    if not all((tree / name).exists() for name in ("pyproject.toml", "CMakeLists.txt", "csrc")):
        return (
            f"its compiled module cannot be loaded ({error}); "
            "build it with `pip install .` in the source tree, or `pip install tefast`"
        )
    compiled = [path.name for path in package.glob("_native.*") if path.suffix != ".pyi"]
    state = f"has no module for this Python ({error})" if compiled else "is not compiled"
    leave = "start Python in another folder, or as `python -P` (or with PYTHONSAFEPATH=1)"
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if tree in [Path(each).resolve() for each in paths if each]:
        leave = f"take {tree} out of PYTHONPATH, and {leave}"
    installed = _installed(package)
    if installed is None:
        return (
            f"Python imports the source tree {tree}, which {state}: run `pip install .` there, "
            f"then {leave}"
        )
    return (
        f"Python imports the source tree {tree}, which {state}, instead of the tefast that is "
        f"installed in {installed.parent}: {leave}"
    )


def _installed(package: Path) -> Path | None:
    """The package of an installed tefast that is not the one imported."""
    for found in distributions(name="tefast"):
        place = Path(str(found.locate_file("tefast"))).resolve()
        if (place / "__init__.py").is_file() and place != package:
            return place
    return None
