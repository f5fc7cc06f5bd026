"""What a release takes from the sources: version, notes, and the recipe for conda."""

import hashlib
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

import tefast

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / ".ci/release.py"
if not SCRIPT.exists():
    pytest.skip("an sdist has no .ci", allow_module_level=True)
spec = importlib.util.spec_from_file_location("release", SCRIPT)
release = importlib.util.module_from_spec(spec)
spec.loader.exec_module(release)

CHANGELOG = """# Changelog

## 1.3.0 (unreleased)

- Three.

## 1.2.0 (2026-01-02)

### Added

- Two.

## 1.1.0 (2025-01-02)
"""


def test_the_version_stands_in_one_place():
    assert release.version() == tefast.__version__


def test_notes_are_the_section_of_the_version():
    assert release.section(CHANGELOG, "1.2.0")[1] == "### Added\n\n- Two.\n"
    with pytest.raises(ValueError, match=r"has no section 1\.2"):
        release.section(CHANGELOG, "1.2")


def test_the_changelog_has_a_section_of_the_version_to_come():
    done = subprocess.run(
        [sys.executable, SCRIPT, "notes"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("### ")


@pytest.mark.parametrize(
    ("tag", "version", "complaint"),
    [
        ("v1.2.0", "1.2.0", None),
        ("v1.3.0rc1", "1.3.0rc1", None),
        ("v1.2.1", "1.2.0", "the tag is v1.2.1"),
        ("1.2.0", "1.2.0", "expected v1.2.0"),
        ("v1.2.0.dev0", "1.2.0.dev0", "is no version to release"),
        ("v1.3.0", "1.3.0", "expected a date"),
        ("v1.1.0", "1.1.0", "says nothing about 1.1.0"),
        ("v9.0.0", "9.0.0", "has no section 9.0.0"),
    ],
)
def test_only_a_finished_version_is_released(tag, version, complaint):
    found = release.check(tag, CHANGELOG, version)
    if complaint is None:
        assert found == []
    else:
        assert complaint in "\n".join(found)


def test_the_recipe_names_the_sdist(tmp_path):
    sdist = tmp_path / "tefast-1.2.0.tar.gz"
    sdist.write_bytes(b"sources")
    template = (ROOT / "ship/recipe.yaml.in").read_text()
    made = release.recipe(template, sdist)
    assert 'version: "1.2.0"' in made
    assert f'sha256: "{hashlib.sha256(b"sources").hexdigest()}"' in made
    assert "@" not in made


def test_the_recipe_asks_for_what_pyproject_asks_for():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    recipe = (ROOT / "ship/recipe.yaml.in").read_text()
    asked = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    for requirement in asked:
        name = requirement.split(">")[0]
        assert f"- {name} {requirement.removeprefix(name)}\n" in recipe
