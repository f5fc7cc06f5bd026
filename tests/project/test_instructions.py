"""Instructions of the kernel beside those that are kept."""

import json

import pytest
from test_documentation import README


@pytest.fixture
def instructions(monkeypatch):
    monkeypatch.syspath_prepend(README.parent / "benchmarks")
    import instructions

    return instructions


def test_more_than_a_twentieth_is_a_failure(instructions, monkeypatch, tmp_path, capsys):
    path = tmp_path / "kept.json"
    monkeypatch.setattr(instructions, "RESULTS", path)
    now = {"one": 1000, "two": 2000}
    monkeypatch.setattr(instructions, "measured", lambda program: now)
    call = ["program", "c++ 12"]
    assert instructions.main(call) == 0
    assert "no numbers are kept for c++ 12, but for none" in capsys.readouterr().out
    assert instructions.main([*call, "--update"]) == 0
    assert json.loads(path.read_text()) == {"c++ 12": now}
    assert instructions.main(call) == 0
    assert "as before" in capsys.readouterr().out
    now |= {"two": 2101, "three": 5}
    assert instructions.main(call) == 1
    assert capsys.readouterr().out.splitlines() == ["1.050 times what it was: two", "new: three"]
    now |= {"two": 1900}
    assert instructions.main(call) == 0
    assert "0.950 times what it was: two" in capsys.readouterr().out


def test_numbers_are_kept_of_every_case(instructions):
    source = (README.parent / "benchmarks" / "instructions.cpp").read_text()
    kept = json.loads(instructions.RESULTS.read_text())
    assert kept
    for found in kept.values():
        assert all(f'{{"{case}",' in source for case in found)
        assert len(found) == source.count("[] { return ")
        assert all(number > 10_000 for number in found.values())
