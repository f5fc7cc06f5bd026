"""What type checkers are told: the kinds of results, and the names that arguments may have."""

import inspect
import re
import subprocess
import sys
import textwrap
import typing
from pathlib import Path

import pytest

import tefast
import tefast.typing
from tefast import _backends, binning
from tefast._counting import options
from tefast._significance import drawing
from tefast._tables import entropies

ROOT = Path(__file__).resolve().parents[2]

# Behind each line what mypy says of it: the type it reveals, or a part of an error.
SNIPPET = r"""
from typing import Any

import numpy as np
import torch
import tefast
import tefast.measures

h, y, z = np.zeros((9, 3)), np.zeros(9), np.zeros((9, 2))
tensor, series = torch.zeros(9, 3), torch.zeros(9)
anything: Any = h

reveal_type(tefast.transfer_entropy(h, y))  # ndarray
reveal_type(tefast.transfer_entropy(h=h, y=y, bins=4, bias="grassberger", delay=2))  # ndarray
reveal_type(tefast.transfer_entropy([0.0, 1.0, 0.0], [0, 1, 0], bias=None, mask=None))  # ndarray
reveal_type(tefast.transfer_entropy(tensor, series))  # Tensor
reveal_type(tefast.transfer_entropy(anything, y))  # Any
reveal_type(tefast.conditional_transfer_entropy(h, y, z, z_range=(0, 1)))  # ndarray
reveal_type(tefast.conditional_transfer_entropy(tensor, series, z))  # Tensor
reveal_type(tefast.normalized_transfer_entropy(h, y, joint=True))  # ndarray
reveal_type(tefast.reverse_transfer_entropy(tensor, series))  # Tensor
reveal_type(tefast.local_transfer_entropy(h, y, base=2))  # ndarray
reveal_type(tefast.mutual_information(tensor, series, delay=0))  # Tensor
reveal_type(tefast.active_information(h, history=2, step=3))  # ndarray
reveal_type(tefast.entropy_rate(tensor, bias="miller_madow"))  # Tensor
reveal_type(tefast.entropy(h, layout="NT"))  # ndarray
reveal_type(tefast.windowed_transfer_entropy(tensor, series, 100, 10))  # Tensor
reveal_type(tefast.evaluate("transfer_entropy", h, y, bins=4, delay=2))  # ndarray
reveal_type(tefast.evaluate(tefast.measures.ENTROPY, tensor))  # Tensor
reveal_type(tefast.significance(h, y, method="conditional"))  # Significance
reveal_type(tefast.choose_history(h))  # ChosenHistory
float(tefast.transfer_entropy(y, y))

tefast.transfer_entropy(h, y, binning="quantile")
tefast.transfer_entropy(h, y, binning=[0.5])
tefast.transfer_entropy(h, y, binning=[[0.5], [0.6]])
tefast.transfer_entropy(h, y, binning=np.zeros(3))
tefast.transfer_entropy(h, y, binning=tensor)
tefast.transfer_entropy(h, y, binning=tefast.learn_binning(h))
tefast.transfer_entropy(h, y, binning={"h": "quantile", "y": [0.5]})
te = tefast.TransferEntropy(3, 4, bias="miller_madow", binning={"h": np.zeros((3, 3))})
te = tefast.stream(h, y, backend="cpu", nan_policy="omit")

tefast.transfer_entropy(h, y, bias="miler_madow")  # error
tefast.transfer_entropy(h, y, binning="unifrom")  # error
tefast.transfer_entropy(h, y, binning={"h": "unifrom"})  # error
tefast.transfer_entropy(h, y, backend="gpu")  # error
tefast.transfer_entropy(h, y, nan_policy="drop")  # error
tefast.transfer_entropy(h, y, bining="uniform")  # error: did you mean "binning"
tefast.transfer_entropy(h, y, bins=4.0)  # error
tefast.transfer_entropy(h)  # error
tefast.normalized_transfer_entropy(h, y, bias="grassberger")  # error: Unexpected keyword
tefast.entropy(h, y_range=(0, 1))  # error: Unexpected keyword
tefast.evaluate("entropy", h, bining="uniform")  # error: did you mean "binning"
tefast.significance(h, y, method="shufle")  # error: "method" to "significance"
tefast.TransferEntropy(3, bias="none")  # error: "bias" to "TransferEntropy"
tefast.stream(h, y, nan_policy="skip")  # error: "nan_policy" to "stream"
tefast.learn_edges(h, binning="quantiles")  # error: "binning" to "learn_edges"
tefast.choose_history(h, backend="gpu")  # error: "backend" to "choose_history"
"""


@pytest.mark.slow
def test_mypy_knows_what_comes_back_and_refuses_misspelt_names(tmp_path):
    pytest.importorskip("mypy")
    pytest.importorskip("torch")
    path = tmp_path / "snippet.py"
    path.write_text(SNIPPET, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", "pyproject.toml", str(path)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    said = {}
    for line in done.stdout.splitlines():
        found = re.search(r"snippet\.py:(\d+): (error|note): (.*)", line)
        if found and not re.search(r"overload variants|^ ", found[3]):
            said.setdefault(int(found[1]), []).append((found[2], found[3]))
    for number, line in enumerate(SNIPPET.splitlines(), start=1):
        code, _, expected = line.partition("  # ")
        messages = said.pop(number, [])
        kinds, text = {kind for kind, _ in messages}, " ".join(text for _, text in messages)
        if not expected:
            assert not messages, f"{code}: {text}"
        elif expected.startswith("error"):
            assert "error" in kinds, code
            assert expected.removeprefix("error").removeprefix(": ") in text, f"{code}: {text}"
        else:
            assert kinds == {"note"}, f"{code}: {text}"
            assert re.search(rf'"(\w+\.)*{expected}[\["]', text), f"{code}: {text}"
    assert not said


SCORES = [
    each
    for each in (getattr(tefast, name) for name in tefast.__all__)
    if inspect.isfunction(each) and typing.get_overloads(each)
]


def test_all_functions_that_give_scores_say_of_which_kind():
    assert sorted(each.__name__ for each in SCORES) == [
        "active_information",
        "conditional_transfer_entropy",
        "entropy",
        "entropy_rate",
        "evaluate",
        "local_transfer_entropy",
        "mutual_information",
        "normalized_transfer_entropy",
        "reverse_transfer_entropy",
        "transfer_entropy",
        "windowed_transfer_entropy",
    ]


@pytest.mark.parametrize("function", SCORES, ids=lambda each: each.__name__)
def test_overloads_have_the_arguments_that_there_are(function):
    own = inspect.signature(function).parameters.values()
    keywords = {each.name for each in own if each.kind is each.KEYWORD_ONLY}
    others = [(each.name, each.default is each.empty) for each in own if each.name not in keywords]
    overloads = typing.get_overloads(function)
    assert len(overloads) == 3
    for overload in overloads:
        *plain, last = inspect.signature(overload).parameters.values()
        assert [(each.name, each.default is each.empty) for each in plain] == others
        name = re.fullmatch(r"Unpack\[(\w+)\]", last.annotation)[1]
        taken = getattr(tefast.typing, name)
        assert (taken.__optional_keys__, taken.__required_keys__) == (keywords, frozenset())


def test_hints_of_the_types_of_arguments_are_those_of_the_functions():
    for function in SCORES:
        hints = typing.get_type_hints(function)
        name = re.fullmatch(
            r"Unpack\[(\w+)\]", typing.get_overloads(function)[0].__annotations__["options"]
        )[1]
        for argument, hint in typing.get_type_hints(getattr(tefast.typing, name)).items():
            assert hints[argument] == hint, (function.__name__, argument)


def test_names_are_those_that_are_checked():
    kinds = tefast.typing
    assert typing.get_args(kinds.Bias) == entropies.BIASES[1:]
    # A rule may have a name before type checkers know it.
    assert set(typing.get_args(kinds.BinningName)) <= set(binning.BINNINGS)
    assert typing.get_args(kinds.NanPolicy) == options.NAN_POLICIES
    assert typing.get_args(kinds.Method) == drawing.METHODS
    assert typing.get_args(kinds.BackendName) == ("auto", *_backends.NAMES)


def test_annotations_can_be_read_without_torch():
    code = """
    import inspect, sys, typing
    import tefast
    for name in tefast.__all__:
        each = getattr(tefast, name)
        typing.get_type_hints(each if inspect.isfunction(each) else each.__init__)
    assert "torch" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)
