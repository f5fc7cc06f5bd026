"""A source tree that is imported although it was never compiled says so, and how to leave it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import tefast
from tefast._backends import unbuilt

SHOW = """
import sys, warnings
# An editable install would be found before the current folder.
sys.meta_path[:] = [each for each in sys.meta_path if each.__module__.startswith("_frozen")]
warnings.simplefilter("always")
import tefast
print(tefast.__file__)
print(tefast.build_info()["backends"]["cpu"])
print(tefast.transfer_entropy([0, 1, 1, 0, 1], [1, 1, 0, 1, 1], bins=2))
"""


def copy_package(to):
    """The package without its compiled module."""
    ignored = shutil.ignore_patterns("_native.*.so", "*.dylib", "__pycache__")
    shutil.copytree(Path(tefast.__file__).parent, to / "tefast", ignore=ignored)


@pytest.fixture
def clone(tmp_path):
    tree = tmp_path / "clone"
    tree.mkdir()
    copy_package(tree)
    for name in ("pyproject.toml", "CMakeLists.txt"):
        (tree / name).touch()
    (tree / "csrc").mkdir()
    return tree


@pytest.fixture
def site(tmp_path):
    native = pytest.importorskip("tefast._native")
    place = tmp_path / "site"
    place.mkdir()
    copy_package(place)
    shutil.copy(native.__file__, place / "tefast")
    (place / "tefast-0.1.0.dist-info").mkdir()
    metadata = "Metadata-Version: 2.1\nName: tefast\nVersion: 0.1.0\n"
    (place / "tefast-0.1.0.dist-info" / "METADATA").write_text(metadata)
    return place


def python(*options, cwd, path=()):
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if path:
        env["PYTHONPATH"] = os.pathsep.join(map(str, path))
    command = [sys.executable, *options, "-c", SHOW]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=True)


def test_beside_an_installed_one(clone, site, tmp_path):
    done = python(cwd=clone, path=[site])
    file, reason, _ = done.stdout.splitlines()
    assert Path(file).parent.parent == clone
    expected = (
        f"Python imports the source tree {clone}, which is not compiled, instead of the tefast "
        f"that is installed in {site}: start Python in another folder, or as `python -P` (or with "
        "PYTHONSAFEPATH=1)"
    )
    assert reason == expected
    assert f"RuntimeWarning: tefast counts with NumPy, which is far slower than its kernel: {reason}" in done.stderr  # fmt: skip  # noqa: E501
    for left in (python("-P", cwd=clone, path=[site]), python(cwd=tmp_path, path=[site])):
        file, reason, _ = left.stdout.splitlines()
        assert Path(file).parent.parent == site
        assert reason == "True"
        assert left.stderr == ""


def test_where_none_is_installed(clone, monkeypatch):
    monkeypatch.setattr(unbuilt, "distributions", lambda **_: [])
    monkeypatch.setenv("PYTHONPATH", "")
    monkeypatch.chdir(clone)
    found = unbuilt.reason(ImportError("no _native"), clone / "tefast")
    assert found == (
        f"Python imports the source tree {clone}, which is not compiled: run `pip install .` "
        "there, then start Python in another folder, or as `python -P` (or with PYTHONSAFEPATH=1)"
    )


def test_of_another_python_and_on_the_path(clone, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(clone))
    (clone / "tefast" / "_native.cpython-27.so").touch()
    found = unbuilt.reason(ImportError("no _native"), clone / "tefast")
    assert "which has no module for this Python (no _native)" in found
    assert f"take {clone} out of PYTHONPATH, and start Python in another folder" in found


def test_elsewhere_the_reason_is_that_of_the_import(tmp_path):
    found = unbuilt.reason(ImportError("no _native"), tmp_path / "tefast")
    assert found.startswith("its compiled module cannot be loaded (no _native); build it with")
