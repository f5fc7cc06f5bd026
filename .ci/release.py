"""What a release takes from the sources: `check TAG`, `notes`, `recipe SDIST`, `version`.

The version stands in `tefast/__init__.py` alone, the notes in CHANGELOG.md.
"""

import argparse
import hashlib
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def version() -> str:
    """Return the version, without importing what may not be built."""
    source = (ROOT / "tefast/__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "([^"]+)"', source, re.MULTILINE)
    if not found:
        raise ValueError("tefast/__init__.py has no line __version__ = ...")
    return found[1]


def section(changelog: str, wanted: str) -> tuple[str, str]:
    """Return heading and text of a version's section of the changelog."""
    for part in re.split(r"^## ", changelog, flags=re.MULTILINE)[1:]:
        heading, _, text = part.partition("\n")
        if heading.split()[0] == wanted:
            return heading, text.strip() + "\n"
    raise ValueError(f"CHANGELOG.md has no section {wanted}")


def check(tag: str, changelog: str, here: str) -> list[str]:
    """Return what keeps a tag from being released, a line each."""
    found = []
    if tag != f"v{here}":
        found.append(f"the tag is {tag}, and tefast/__init__.py says {here}: expected v{here}")
    if not re.fullmatch(r"\d+\.\d+\.\d+(rc\d+)?", here):
        found.append(f"{here} is no version to release: expected such as 1.2.3 or 1.2.3rc1")
    try:
        heading, text = section(changelog, here.partition("rc")[0])
    except ValueError as error:
        return [*found, str(error)]
    if "unreleased" in heading and "rc" not in here:
        found.append(f"CHANGELOG.md says {heading!r}: expected a date")
    if not text.strip():
        found.append(f"CHANGELOG.md says nothing about {here}")
    return found


def recipe(template: str, sdist: Path) -> str:
    """Return the recipe of an sdist for conda."""
    of = sdist.name.removesuffix(".tar.gz").rpartition("-")[2]
    digest = hashlib.sha256(sdist.read_bytes()).hexdigest()
    return template.replace("@VERSION@", of).replace("@SHA256@", digest)


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("check", help="fail unless TAG can be released").add_argument("tag")
    commands.add_parser("notes", help="print the version's section of the changelog")
    commands.add_parser("recipe", help="print the recipe for conda").add_argument(
        "sdist", type=Path
    )
    commands.add_parser("version", help="print the version")
    arguments = parser.parse_args()
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    if arguments.command == "check":
        sys.exit("\n".join(check(arguments.tag, changelog, version())) or None)
    if arguments.command == "notes":
        base = re.split(r"rc|\.dev", version())[0]
        print(section(changelog, base)[1], end="")
    elif arguments.command == "version":
        print(version())
    else:
        template = (ROOT / "ship/recipe.yaml.in").read_text(encoding="utf-8")
        print(recipe(template, arguments.sdist), end="")


if __name__ == "__main__":
    main()
