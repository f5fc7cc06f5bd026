"""Examples in the README and in docstrings run and print what they say."""

import doctest
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tefast.estimator
import tefast.streaming

README = Path(__file__).parent.parent / "README.md"


@pytest.mark.parametrize("module", [tefast.estimator, tefast.streaming])
def test_docstrings(module):
    failed, tried = doctest.testmod(module)
    assert tried > 0
    assert failed == 0


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(encoding="utf-8"), re.S)


def test_first_example_prints_what_the_readme_says(capsys):
    first, printed = blocks("python")[0], blocks("text")[0]
    assert len(first.strip().splitlines()) <= 7
    exec(first, {})
    assert capsys.readouterr().out == printed


def test_other_examples_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    space = {}
    for block in blocks("python")[1:]:
        exec(block, space)
    assert len(blocks("python")) > 1


def test_commands_of_the_readme_exist():
    text = README.read_text(encoding="utf-8")
    makefile = (README.parent / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"^make (\w+)", text, re.M)):
        assert f"\n{target}:" in makefile
    assert {"experiment", "test"} <= set(re.findall(r"^make (\w+)", text, re.M))
    done = subprocess.run(
        [sys.executable, "-m", "tefast.experiment", "--help"], capture_output=True, text=True
    )
    for option in set(re.findall(r"`(--[a-z-]+)", text)):
        assert option in done.stdout
