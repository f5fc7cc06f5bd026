"""A data set of the study is one class in one file, and what it says holds in every stage."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

import tefast
from tefast.experiment import cli, datasets
from tefast.experiment.config import PRESETS, ConfigError, check
from tefast.experiment.datasets.base import (
    REGISTRY,
    ClipProblem,
    Dataset,
    DatasetError,
    Features,
    Found,
    PaperFigure,
    Sample,
)
from tefast.experiment.findings import FIGURE_3, paper_table
from tefast.experiment.results import Row, StudyResults
from tefast.experiment.splits import group_overlap, split

STEPS = 6


@dataclass(frozen=True)
class RampReader:
    """Ramps that rise or fall with a slope of their own; the last cannot be read."""

    described: str = "ramps"
    inputs: tuple = ()

    def read(self, found, *, cache_dir, progress):
        slope = np.array([1 - 2 * sample.label for sample in found.clips], np.float32)
        size = 1 + np.arange(len(slope), dtype=np.float32) / len(slope)
        ramps = (slope * size)[:, None] * np.arange(STEPS, dtype=np.float32)
        values = np.stack([ramps, -ramps, ramps**2], axis=2)
        usable = np.arange(len(slope)) < len(slope) - 1
        values[~usable] = 0
        progress(len(slope), len(slope))
        return Features(values, usable, [ClipProblem(found.clips[-1].name, "unreadable", "worn")])


@pytest.fixture
def ramps():
    """A data set that is no video and lies in no folder, known while a test runs."""

    class Ramps(Dataset[Sample]):
        name = "ramps"
        needs_root = False
        steps = "places"
        shared_by_group = "the slope"
        paper = (PaperFigure("ramps (figure 9)", "none", 80.0, 70.0, 0.5),)

        def find(self, root):
            samples = (
                Sample(f"{kind}{group}{one}", label, str(group))
                for label, kind in enumerate(("fall", "rise"))
                for group in range(5)
                for one in range(4)
            )
            return Found(self.name, root, ("fall", "rise"), tuple(samples))

        def reader(self, config):
            if config.frames > 100:
                raise ValueError(f"frames: a ramp has at most 100, got {config.frames}")
            return RampReader()

        def official(self, found, number, root):
            if number > 1:
                return super().official(found, number, root)
            return [(sample.name.upper(), sample.group == "0") for sample in found.clips[:-4]]

        def caveats(self, summary):
            return [f"The clips are ramps, of which {summary['dataset']['usable']} are usable."]

    yield Ramps
    del REGISTRY["ramps"]


@pytest.mark.usefixtures("ramps")
def test_a_data_set_is_split_in_every_way(tmp_path):
    found = datasets.find_clips("ramps", tmp_path)
    part = split(found, "random", 0, tmp_path)
    assert (len(part.train), len(part.test)) == (32, 8)
    part = split(found, "group", 0, tmp_path)
    assert (len(part.train), len(part.test)) == (32, 8)
    assert group_overlap(found, part.train, part.test) == 0
    part = split(found, "official-1", 0, tmp_path)
    assert [found.clips[i].group for i in part.test] == ["0"] * 8
    assert (len(part.train), part.missing) == (28, 0)
    with pytest.raises(DatasetError, match="ramps has no official splits; --split takes random or"):
        split(found, "official-2", 0, tmp_path)


@pytest.mark.usefixtures("ramps")
def test_a_data_set_is_known_to_the_command_line_and_the_settings():
    options = cli.parser().parse_args(["--preset", "smoke", "--dataset", "ramps"])
    assert cli.configure(options).dataset == "ramps"
    known = "rendered, ucf101, hmdb51, digits, vowels, exercises, arrays, ramps"
    assert f"one of {known} (default" in " ".join(cli.parser().format_help().split())
    with pytest.raises(ConfigError, match=f"known are {known}"):
        check(replace(PRESETS["smoke"], dataset="kinetics"))


@pytest.mark.usefixtures("ramps")
def test_a_data_set_that_is_no_video_runs_from_reading_to_the_report(tmp_path, capsys):
    small = ["--seeds", "0", "--regularizers", "none", "--hidden", "8", "--epochs", "1"]
    arguments = ["--preset", "smoke", "--out", str(tmp_path / "out"), "--dataset", "ramps", *small]
    assert cli.main([*arguments, "--frames", "101"]) == 2
    assert "error: frames: a ramp has at most 100, got 101" in capsys.readouterr().err
    inside = str(tmp_path / "out" / "data" / "mine")
    assert cli.main([*arguments, "--data-root", inside]) == 2
    assert "which a run in --out writes itself" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert cli.main(arguments) == 0
    assert "unreadable clip rise43: worn" in capsys.readouterr().out
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["backbone"] == "ramps"
    assert {name: summary["dataset"][name] for name in ("name", "classes", "clips", "usable")} == {
        "name": "ramps", "classes": ["fall", "rise"], "clips": 40, "usable": 39,
    }  # fmt: skip
    report = (tmp_path / "out" / "report.html").read_text()
    assert "The clips are ramps, of which 39 are usable." in report
    assert "of their own group, with which they share the slope: seed 0" in report
    assert "ramps (figure 9)" in report
    assert "<td>ramps</td>" in report
    assert "Does the order of the places matter?" in report
    for word in ("ResNet", "video clips", "frames were", "frames in order"):
        assert word not in report
    assert not (tmp_path / "out" / "data").exists()


@pytest.mark.usefixtures("ramps")
def test_the_papers_figures_are_those_on_the_data_set_or_all():
    def shown(name):
        curve = (name, "random", 0, "none", "entropy", "descending", 0, "none")
        row = Row(*curve, 0.0, 0, 0.9, 0.1, 1000, 1e-3)
        return [each["what"] for each in paper_table(StudyResults([row]), samples=10)]

    third = [figure.what for figure in FIGURE_3]
    assert shown("ramps") == ["ramps (figure 9)", *third]
    everything = ["HMDB-51 (figure 2)", "UCF101 (figure 2)", "ramps (figure 9)", *third]
    assert shown("rendered") == everything


def test_names_are_taken_once(ramps):
    with pytest.raises(ValueError, match=r"'ramps' of a data set is taken by test_experiment_reg"):
        type("Others", (ramps,), {"name": "ramps"})
    assert REGISTRY["ramps"] is ramps
    with pytest.raises(DatasetError, match="unknown dataset 'slopes'; known are rendered, ucf101"):
        datasets.named("slopes")


NEW_FILE = '''
from tefast.experiment.config import Config
from tefast.experiment.datasets.ucf101 import UCF101Layout


class Kinetics(UCF101Layout):
    """In UCF101's layout."""

    name = "kinetics"
'''

ASK = """
import sys
# An editable install would be found before the copy.
sys.meta_path[:] = [each for each in sys.meta_path if each.__module__.startswith("_frozen")]
import tefast.experiment.config  # first, as it and the new file must not need each other
from tefast.experiment import cli, datasets
print(datasets.__file__, *datasets.names())
print(cli.configure(cli.parser().parse_args(["--dataset", "kinetics", "--data-root", "."])).dataset)
print({"torch", "av"} & set(sys.modules))
"""


def test_a_new_file_is_all_that_a_data_set_takes(tmp_path):
    ignored = shutil.ignore_patterns("_native.*.so", "__pycache__")
    shutil.copytree(Path(tefast.__file__).parent, tmp_path / "tefast", ignore=ignored)
    folder = tmp_path / "tefast" / "experiment" / "datasets"
    (folder / "kinetics.py").write_text(NEW_FILE)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", ASK],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    known, configured, imported = done.stdout.splitlines()
    assert known.split() == [str(folder / "__init__.py"), *datasets.names(), "kinetics"]
    assert configured == "kinetics"
    assert imported == "set()"
