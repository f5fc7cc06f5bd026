"""Progress: lines where there is no terminal, a bar where there is one."""

import io
import threading

import pytest

from tefast.experiment import progress
from tefast.experiment.progress import Bar, Lines, duration


def lines_at(monkeypatch, *times):
    clock = iter(times)
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    return Lines("features", "clip")


def test_a_line_says_what_is_done_and_what_is_left(monkeypatch):
    lines = lines_at(monkeypatch, 100.0)
    assert lines.line(90.0) is None
    lines.tell(1000, 13320)  # of an earlier start, at no cost
    assert lines.line(130.0) == "features: clip 1000 of 13320"
    lines.tell(1020, 13320)
    assert lines.line(160.0) == "features: clip 1020 of 13320, about 10 h 15 min left"
    lines.tell(13310, 13320)
    assert lines.line(12410.0) == "features: clip 13310 of 13320, about 10 s left"


def test_where_several_are_done_in_turn_each_has_its_own_pace(monkeypatch):
    lines = lines_at(monkeypatch, 0.0, 1000.0)
    lines.tell(0, 100)
    lines.tell(100, 100)
    lines.tell(0, 100)  # of the next one
    lines.tell(10, 100)
    assert lines.line(1030.0) == "features: clip 10 of 100, about 4 min left"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.2, "0 s"), (59.4, "59 s"), (59.6, "1 min"), (3569, "59 min"), (3571, "1 h 0 min"),
     (86400, "24 h 0 min")],
)  # fmt: skip
def test_durations(seconds, said):
    assert duration(seconds) == said


class Heard(io.StringIO):
    """Standard output that says when two lines have come."""

    def __init__(self):
        super().__init__()
        self.two = threading.Event()

    def write(self, text):
        written = super().write(text)
        if self.getvalue().count("\n") >= 2:
            self.two.set()
        return written


def test_lines_come_by_themselves_while_a_step_lasts(monkeypatch):
    heard = Heard()
    monkeypatch.setattr("sys.stdout", heard)
    monkeypatch.setattr(progress, "EVERY", 0.001)
    with Bar("training", "epoch") as tell:
        tell(3, 6)
        assert heard.two.wait(60)
    assert set(heard.getvalue().splitlines()) == {"training: epoch 3 of 6"}
    assert "progress" not in {thread.name for thread in threading.enumerate()}


def test_a_short_stage_prints_nothing(capsys):
    with Bar("training", "epoch") as tell:
        tell(3, 6)
    assert capsys.readouterr() == ("", "")


def test_a_bar_on_a_terminal(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    with Bar("training", "epoch") as tell:
        tell(3, 6)
    assert "training" in terminal.getvalue()
    assert "progress" not in {thread.name for thread in threading.enumerate()}


def test_a_full_disk_under_the_lines_ends_them_alone(monkeypatch):
    class Full(io.StringIO):
        def write(self, text):
            raise OSError("no space left on device")

    monkeypatch.setattr("sys.stdout", Full())
    lines = Lines("training", "epoch", every=0.001)
    lines.tell(3, 6)
    lines.start()
    lines._thread.join(60)
    assert not lines._thread.is_alive()
    lines.stop()
