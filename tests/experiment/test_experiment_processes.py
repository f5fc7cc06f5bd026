"""A run in several processes."""

import pytest
from torchrun import torchrun

from tefast.experiment.processes import joined

SCRIPT = """
import sys
from pathlib import Path
from tefast.experiment.processes import joined

with joined() as processes:
    assert processes.size == 3
    parts = list(processes.share(range(7)))
    Path(sys.argv[1], str(processes.rank)).write_text(repr(parts))
    processes.wait()
    made = processes.first(lambda: sorted(path.name for path in Path(sys.argv[1]).iterdir()))
    assert made == ["0", "1", "2"], made

    def refuse():
        raise ValueError(f"refused by {processes.rank}")

    try:
        processes.first(refuse)
    except ValueError as error:
        assert str(error) == "refused by 0"
    else:
        raise AssertionError(processes.rank)
"""


def test_one_process_is_alone(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined() as processes:
        assert (processes.rank, processes.size, processes.is_first) == (0, 1, True)
        assert list(processes.share(range(3))) == [0, 1, 2]
        assert processes.first(lambda: "made") == "made"
        processes.wait()
        with pytest.raises(ValueError, match="refused"):
            processes.first(lambda: (_ for _ in ()).throw(ValueError("refused")))


def test_the_first_process_makes_things_for_all(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (tmp_path / "run.py").write_text(SCRIPT, encoding="utf-8")
    done = torchrun(tmp_path / "run.py", 3, out)
    assert done.returncode == 0, done.stderr
    assert [(out / str(rank)).read_text() for rank in range(3)] == ["[0, 3, 6]", "[1, 4]", "[2, 5]"]
