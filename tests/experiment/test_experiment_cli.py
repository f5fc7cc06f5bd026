"""The experiment's command line: what it takes, and what it refuses in one line."""

import subprocess
import sys
from dataclasses import replace

import pytest

from tefast.experiment import cli
from tefast.experiment.config import PRESETS, ConfigError, check
from tefast.experiment.workspace import Workspace


def configured(*arguments):
    return cli.configure(cli.parser().parse_args(arguments))


def test_presets_can_be_run_as_they_are():
    assert configured() == PRESETS["default"]
    assert configured("--preset", "smoke") == PRESETS["smoke"]
    elsewhere = configured("--preset", "smoke", "--device", "cpu", "--workers", "3")
    assert elsewhere.base() == PRESETS["smoke"].base()  # numbers do not depend on these
    assert configured("--precision", "bfloat16").base() != PRESETS["default"].base()
    paper = configured("--preset", "paper", "--data-root", "clips")
    assert (paper.frames, paper.height, paper.width, paper.hidden) == (25, 240, 320, 1024)
    assert (paper.weights, paper.dataset, paper.split) == ("imagenet", "ucf101", "random")


def test_options_replace_what_the_preset_says():
    config = configured(
        "--preset", "smoke", "--dataset", "hmdb51", "--data-root", "clips", "--size", "120x160",
        "--seeds", "3", "4", "--regularizers", "l2", "--criteria", "entropy", "random",
        "--removed", "0.25", "--hidden", "32", "--split", "official-2", "--l2-weight", "1e-3",
        "--granularity", "gate",
    )  # fmt: skip
    assert config == replace(
        PRESETS["smoke"],
        dataset="hmdb51",
        data_root="clips",
        height=120,
        width=160,
        seeds=(3, 4),
        regularizers=("l2",),
        criteria=("entropy", "random"),
        removed=(0.0, 0.25),  # 0 is where every curve starts
        hidden=32,
        split="official-2",
        l2_weight=1e-3,
        granularity="gate",
    )
    assert config.granularities == ("unit", "gate")
    assert configured().granularities == ("unit",)
    assert config.penalty("l2") == ("l2", 1e-3)
    assert config.penalty("none") == (None, 0.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dataset": "kinetics"}, "unknown dataset 'kinetics'; known are rendered, ucf101, hmdb51"),
        ({"dataset": "ucf101"}, "--dataset ucf101 needs --data-root DIR"),
        ({"split": "official-4"}, "unknown split 'official-4'"),
        ({"granularity": "layer"}, "unknown granularity 'layer'; known are unit, gate"),
        ({"precision": "half"}, "unknown precision 'half'; known are float32, bfloat16"),
        ({"device": "tpu"}, "unknown device 'tpu'; known are auto, cpu, cuda"),
        ({"workers": -1}, "workers must be at least 0, got -1"),
        ({"hidden": 1}, "hidden must be at least 2, got 1"),
        ({"frames": 1}, "frames must be at least 2, got 1"),
        ({"seeds": ()}, "seeds must be one or more different values"),
        ({"seeds": (1, 1)}, "one or more different values, got \\[1, 1\\]"),
        ({"seeds": (-1,)}, r"seeds must lie in 0 .. 2\*\*63 - 1, got \[-1\]"),
        ({"l1_weight": -1.0}, "l1_weight must be finite and not negative, got -1.0"),
        ({"seeds": (2**63,)}, r"seeds must lie in 0 .. 2\*\*63 - 1"),
        ({"bins": 257}, "bins must be at most 256, got 257"),
        ({"lr": 0.0}, "lr must be above 0"),
        ({"regularizers": ("group",), "rnn": "lstm"}, "group needs .* named rnn, got 'lstm'"),
        ({"removed": (1.0,)}, r"removed fractions must lie in \[0, 1\), got 1.0"),
        ({"removed": (0.95,), "hidden": 8}, "removing 0.95 of 8 units would leave none"),
    ],
)
def test_settings_that_cannot_be_run(change, message):
    with pytest.raises(ConfigError, match=message):
        check(replace(PRESETS["smoke"], **change))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dataset", "ucf101", "--data-root", "{tmp}/none"], "{tmp}/none"),
        (["--dataset", "ucf101", "--data-root", "{tmp}"], "{tmp}"),
        (["--dataset", "ucf101"], "needs --data-root"),
        (["--weights", "{tmp}/none.pth"], "none.pth"),
        (["--removed", "2"], "[0, 1), got 2.0"),
        (["--size", "25x32"], "height: expected an even number from 16 on, got 25"),
        (["--resume"], "--resume: there is no run in {tmp}/out"),
    ],
)
def test_mistakes_are_one_line_and_status_2(arguments, message, tmp_path, capsys):
    arguments = [part.format(tmp=tmp_path) for part in arguments]
    status = cli.main(["--preset", "smoke", "--out", str(tmp_path / "out"), *arguments])
    error = capsys.readouterr().err
    assert status == 2
    assert error.startswith("tefast.experiment: error: ")
    assert error.count("\n") == 1
    assert message.format(tmp=tmp_path) in error
    written = {path.name for path in tmp_path.rglob("*")} - {"out", ".lock"}
    assert not written


def test_module_runs_as_a_command(tmp_path):
    command = [sys.executable, "-m", "tefast.experiment", "--data-root", str(tmp_path / "none")]
    done = subprocess.run(
        [*command, "--dataset", "ucf101", "--out", str(tmp_path / "out")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert str(tmp_path / "none") in done.stderr


def test_a_size_that_is_none(capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.parser().parse_args(["--size", "large"])
    assert stopped.value.code == 2
    assert "expected HxW such as 240x320, got 'large'" in capsys.readouterr().err


def test_a_run_is_taken_up_only_with_its_own_settings(tmp_path):
    config = PRESETS["smoke"]
    Workspace(tmp_path).begin(config, fresh=False, must_resume=False)
    more = replace(config, seeds=(5,), criteria=("l1",), removed=(0.0, 0.3), granularity="gate")
    Workspace(tmp_path).begin(more, fresh=False, must_resume=True)
    other = replace(config, hidden=64)
    with pytest.raises(ConfigError, match=r"other settings \(hidden was 48, now 64\); choose"):
        Workspace(tmp_path).begin(other, fresh=False, must_resume=False)
    kept = tmp_path / "notes.txt"
    kept.write_text("mine")
    (tmp_path / "models").mkdir()
    Workspace(tmp_path).begin(other, fresh=True, must_resume=False)
    assert kept.exists()
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize("fresh", [True, False])
def test_a_folder_of_somebody_elses_is_left_alone(tmp_path, fresh):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "mine.pt").write_text("mine")
    with pytest.raises(ConfigError, match="holds models, but not from a run of this program"):
        Workspace(tmp_path).begin(PRESETS["smoke"], fresh=fresh, must_resume=False)
    assert [path.name for path in tmp_path.rglob("*")] == ["models", "mine.pt"]


def test_clips_where_a_run_writes_are_refused(tmp_path, capsys):
    clips = tmp_path / "out" / "data" / "A"
    clips.mkdir(parents=True)
    (clips / "v_A_g01_c01.avi").write_text("mine")
    arguments = ["--out", str(tmp_path / "out"), "--dataset", "ucf101", "--fresh"]
    assert cli.main([*arguments, "--data-root", str(clips.parent)]) == 2
    assert "which a run in --out writes itself" in capsys.readouterr().err
    assert (clips / "v_A_g01_c01.avi").read_text() == "mine"


def test_a_fresh_start_that_was_killed_is_gone_on_with(tmp_path, monkeypatch):
    config = PRESETS["smoke"]
    Workspace(tmp_path).begin(config, fresh=False, must_resume=False)
    for name in ("models", "sweep"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "old").write_text("old")

    def killed(path):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("tefast.experiment.workspace.shutil.rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            Workspace(tmp_path).begin(config, fresh=True, must_resume=False)
    assert (tmp_path / "models" / "old").exists()
    Workspace(tmp_path).begin(replace(config, hidden=64), fresh=False, must_resume=False)
    assert not list(tmp_path.rglob("old"))


def test_running_out_of_memory_is_one_line(tmp_path, monkeypatch, capsys):
    from tefast.experiment import run

    for error in (MemoryError("too much"), RuntimeError("can't allocate memory: you tried")):
        monkeypatch.setattr(run, "run", lambda *a, error=error, **k: (_ for _ in ()).throw(error))
        assert cli.main(["--preset", "smoke", "--out", str(tmp_path)]) == 2
        assert "error: out of memory: " in capsys.readouterr().err
    monkeypatch.setattr(run, "run", lambda *a, **k: (_ for _ in ()).throw(RuntimeError("a bug")))
    with pytest.raises(RuntimeError, match="a bug"):
        cli.main(["--preset", "smoke", "--out", str(tmp_path)])


def test_a_damaged_memory_is_named(tmp_path):
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(
        ConfigError, match=r"run.json cannot be read .*; delete .* or choose another"
    ):
        Workspace(tmp_path).begin(PRESETS["smoke"], fresh=False, must_resume=False)


def test_clips_may_not_change_during_a_run(tmp_path):
    space = Workspace(tmp_path)
    space.begin(PRESETS["smoke"], fresh=False, must_resume=False)
    space.pin("clips", "a")
    again = Workspace(tmp_path)
    again.begin(PRESETS["smoke"], fresh=False, must_resume=False)
    again.pin("clips", "a")
    with pytest.raises(ConfigError, match="the clips have changed since the run"):
        again.pin("clips", "b")


def test_two_runs_do_not_share_a_folder(tmp_path):
    with (
        Workspace(tmp_path).locked(),
        pytest.raises(ConfigError, match="another run is at work in"),
        Workspace(tmp_path).locked(),
    ):
        pass


def test_time_adds_up_over_starts(tmp_path):
    for _ in range(2):
        space = Workspace(tmp_path)
        space.begin(PRESETS["smoke"], fresh=False, must_resume=False)
        with space.stage("features"):
            pass
    first = space.seconds["features"]
    with space.stage("features"):
        pass
    assert space.seconds["features"] > first > 0
