"""Wheels for each Python at hand, or for those named; each is tried where there is NumPy alone.

Made from an sdist, repaired by auditwheel, which puts OpenMP's library inside and finds out from
the symbols which systems a wheel runs on. `make wheels` calls this.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD, DIST = ROOT / "build/wheels", ROOT / "dist/wheels"
VERSIONS = ("3.11", "3.12", "3.13", "3.14")
# Where apt has a Python that this machine lacks.
SUITES = {"3.11": "bookworm", "3.13": "trixie", "3.14": "sid"}
TOOLS = ("scikit-build-core", "pybind11", "cmake", "ninja")


def run(*command: str | Path, **options) -> None:
    """Run a command that must succeed."""
    subprocess.run([str(word) for word in command], check=True, **options)


def pip(python: Path, *arguments: str | Path) -> None:
    """Run an environment's pip, with the versions that are known to work together."""
    quiet = ("-q", "--disable-pip-version-check")
    where = {**os.environ, "PIP_CONSTRAINT": str(ROOT / "constraints.txt")}
    run(python, "-P", "-m", "pip", *arguments, *quiet, env=where)


def can_build(python: Path, version: str) -> bool:
    """Whether this is a Python of that version and has its headers."""
    code = (
        "import os, sys, sysconfig;"
        "header = os.path.join(sysconfig.get_path('include'), 'Python.h');"
        "print('%d.%d' % sys.version_info[:2], os.path.exists(header))"
    )
    try:
        done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return False
    return done.stdout.split() == [version, "True"]


def unpacked(version: str) -> Path | None:
    """Return a Python of Debian's packages, unpacked once; None where apt has none."""
    folder = ROOT / "build/pythons" / version
    python = folder / f"usr/bin/python{version}"
    if python.exists():
        return python
    if version not in SUITES or not shutil.which("apt-get") or not shutil.which("dpkg"):
        return None
    shutil.rmtree(folder, ignore_errors=True)
    machine = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True)
    command = [ROOT / ".ci/debian_python", SUITES[version], machine.stdout.strip(), version]
    tools = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run([*command, folder], env=tools, capture_output=True, text=True)
    if done.returncode:
        print(done.stderr, file=sys.stderr)
        shutil.rmtree(folder, ignore_errors=True)
        return None
    return python


def find_python(version: str) -> Path | None:
    """Return a Python with headers: of this environment, the path, pyenv, or apt."""
    name = f"python{version}"
    candidates = [Path(sys.executable)]
    candidates += [Path(folder) / name for folder in os.environ["PATH"].split(os.pathsep)]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    candidates += sorted(pyenv.glob(f"versions/{version}.*/bin/{name}"), reverse=True)
    for python in candidates:
        if can_build(python, version):
            return python
    python = unpacked(version)
    return python if python and can_build(python, version) else None


def environment(python: Path, folder: Path) -> Path:
    """Return the Python of a new environment."""
    # Not by venv, which Debian's Pythons come without.
    run(sys.executable, "-m", "virtualenv", "-q", "--clear", "-p", python, folder)
    return folder / "bin/python"


def make(python: Path, sdist: Path, folder: Path) -> Path:
    """Return a repaired wheel in dist/wheels."""
    builder = environment(python, folder / "builder")
    pip(builder, "install", *TOOLS)
    made = folder / "made"
    shutil.rmtree(made, ignore_errors=True)
    switches = ("-C", "cmake.define.TEFAST_CUDA=OFF", "-C", "cmake.define.TEFAST_WERROR=ON")
    pip(builder, "wheel", "--no-deps", "--no-build-isolation", "-w", made, *switches, sdist)
    (plain,) = made.glob("*.whl")
    repaired = folder / "repaired"
    shutil.rmtree(repaired, ignore_errors=True)
    tools = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    run(sys.executable, "-m", "auditwheel", "repair", "-w", repaired, plain, env=tools)
    (wheel,) = repaired.glob("*.whl")
    return Path(shutil.copy(wheel, DIST))


def attempt(python: Path, wheel: Path, folder: Path) -> None:
    """Install a wheel where there is nothing else, and count with it elsewhere."""
    bare = environment(python, folder / "bare")
    pip(bare, "install", "--only-binary", ":all:", wheel)
    run(bare, "-P", ROOT / "ship/smoke.py", cwd=folder)


def main() -> None:
    """Make and try all wheels; fail where one fails or none was made."""
    shutil.rmtree(DIST, ignore_errors=True)
    DIST.mkdir(parents=True)
    run(sys.executable, "-m", "build", "-q", "--sdist", "--outdir", BUILD / "sdist", ROOT)
    sdist = max((BUILD / "sdist").glob("*.tar.gz"), key=lambda path: path.stat().st_mtime)
    missing, passed = [], 0
    for version in sys.argv[1:] or VERSIONS:
        python = find_python(version)
        if python is None:
            missing.append(version)
            continue
        folder = BUILD / version
        wheel = make(python, sdist, folder)
        attempt(python, wheel, folder)
        print(f"{wheel.relative_to(ROOT)}: {wheel.stat().st_size:,} bytes", flush=True)
        passed += 1
    if missing:
        print(f"not tried, since no such Python is to be had here: {', '.join(missing)}")
    if not passed:
        sys.exit("no Python with headers was found: no wheel was made")
    print(f"{passed} wheels made and tried")


if __name__ == "__main__":
    main()
