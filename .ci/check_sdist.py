"""Whether the newest sdist in dist/ holds the sources, and nothing else that lies in the tree."""

import sys
import tarfile
from pathlib import Path

LIMIT = 3_000_000  # bytes; the figures of docs/ are most of what there is
NEEDED = {
    "CMakeLists.txt",
    "Dockerfile",
    "LICENSE",
    "csrc/bindings.cpp",
    "ship/smoke.py",
    "pyproject.toml",
    "tefast/py.typed",
}
FOREIGN = {"__pycache__", "build", "dist", "runs"}
COMPILED = {".o", ".pyc", ".pyd", ".so"}


def foreign(name: str) -> bool:
    """Whether a file is none of the sources: hidden, compiled, or left behind by some tool."""
    path = Path(name)
    hidden = any(part.startswith(".") for part in path.parts)
    return hidden or path.suffix in COMPILED or not FOREIGN.isdisjoint(path.parts)


def complaints(sdist: Path) -> list[str]:
    """What is wrong with an sdist, a line each."""
    with tarfile.open(sdist) as opened:
        names = {member.name.partition("/")[2] for member in opened if not member.isdir()}
    size = sdist.stat().st_size
    found = [f"lacks {name}" for name in sorted(NEEDED - names)]
    found += [f"holds {name}" for name in sorted(names) if foreign(name)]
    if size > LIMIT:
        found.append(f"has {size:,} bytes, more than {LIMIT:,}")
    return found


def main() -> None:
    """Check, and fail with all complaints."""
    sdists = sorted(Path("dist").glob("*.tar.gz"), key=lambda path: path.stat().st_mtime)
    if not sdists:
        sys.exit("no sdist in dist/: run `python -m build --sdist` first")
    found = complaints(sdists[-1])
    if found:
        sys.exit("\n".join(f"{sdists[-1]} {line}" for line in found))
    print(f"{sdists[-1]}: {sdists[-1].stat().st_size:,} bytes, sources alone")


if __name__ == "__main__":
    main()
