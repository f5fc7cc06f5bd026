"""Three networks that others trained: they do what they are known to do, and are pruned."""

import io
import json
import re
import sys
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

import tefast.nn as tnn

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))
import made_voices  # noqa: E402
import real_models  # noqa: E402
import real_networks  # noqa: E402

sys.path.remove(str(ROOT / "benchmarks"))

pytestmark = pytest.mark.usefixtures("one_thread")
needs_weights = pytest.mark.skipif(
    real_networks.missing() is not None, reason=str(real_networks.missing())
)
MAKE = {
    "speakers": lambda: real_models.Speakers(16),
    "voice": lambda: real_models.Voice(12, seconds=2),
    "words": lambda: real_models.Words(300),
}


@pytest.fixture(scope="module", params=MAKE)
def case(request):
    """A network with a part of the benchmark's input."""
    with torch.no_grad():
        made = MAKE[request.param]()
        made.taken, made.l1 = made.moments(), made.scores("l1")
        yield made


def spoken(seeds, seconds=3, **options):
    each = [made_voices.Speaker(seed).speaks(seconds, seed, **options) for seed in seeds]
    return np.stack([sound for sound, _ in each]), np.stack([said for _, said in each])


@needs_weights
@pytest.mark.parametrize(
    ("word", "phonemes"),
    [
        ("hello", "HH EH1 L OW0"),
        ("world", "W ER1 L D"),
        ("knife", "N AY1 F"),
        ("computer", "K AH0 M P Y UW1 T ER0"),
        ("tree", "T R IY1"),
    ],
)
def test_words_are_pronounced_as_is_known(word, phonemes):
    model = real_networks.pronunciation()
    ((*said,),) = real_networks.until_end(model.say(*real_networks.spelled([word])))
    assert [real_networks.PHONEMES[one] for one in said] == phonemes.split()


@needs_weights
def test_words_beside_longer_ones_are_pronounced_as_alone():
    model = real_networks.pronunciation()
    words = ["a", "extraordinary", "tree"]
    together = real_networks.until_end(model.say(*real_networks.spelled(words)))
    for word, said in zip(words, together, strict=True):
        assert real_networks.until_end(model.say(*real_networks.spelled([word]))) == [said]


@needs_weights
def test_voices_are_heard_as_the_package_hears_them():
    runtime = pytest.importorskip("onnxruntime")
    file = real_networks.FOLDER / "silero_vad_16k_op15.onnx"
    session = runtime.InferenceSession(file, providers=["CPUExecutionProvider"])
    audio, _ = spoken(range(3))
    state, before = np.zeros((2, 3, 128), np.float32), np.zeros((3, 64), np.float32)
    expected = []
    for start in range(0, audio.shape[1] - 511, 512):
        chunk = np.concatenate([before, audio[:, start : start + 512]], axis=1)
        given = {"input": chunk, "state": state, "sr": np.array(16000)}
        probability, state = session.run(None, given)
        expected.append(probability[:, 0])
        before = chunk[:, -64:]
    found = real_networks.voice_activity().listen(torch.from_numpy(audio))
    np.testing.assert_allclose(found, np.stack(expected, axis=1), rtol=0, atol=1e-4)


@needs_weights
def test_voices_are_told_from_pauses_and_noises():
    model = real_networks.voice_activity()
    audio, said = spoken(range(8), pauses=0.3)
    found = model.listen(torch.from_numpy(audio))
    chunks = said[:, : 512 * found.shape[1]].reshape(8, -1, 512).mean(2)
    assert found[chunks > 0.9].mean() > 0.8
    assert found[chunks < 0.1].mean() < 0.3
    noise = np.stack([made_voices.noises(2, seed) for seed in range(6)])
    assert model.listen(torch.from_numpy(noise)).max() < 0.5


@needs_weights
def test_one_speaker_is_more_alike_than_two():
    model, who = real_networks.speaker_encoder(), torch.arange(8).repeat(2)
    sounds = [
        made_voices.Speaker(int(speaker)).speaks(1.6, 100 * n, pauses=0)[0]
        for n, speaker in enumerate(who)
    ]
    vectors = model(torch.from_numpy(made_voices.mels(np.stack(sounds))))
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(len(who)))
    cosines = vectors @ vectors.T
    same, other = who[:, None] == who, ~torch.eye(len(who), dtype=torch.bool)
    assert cosines[same & other].mean() > cosines[~same].mean() + 0.05


@needs_weights
def test_mels_have_their_power_where_a_tone_is():
    time = np.arange(16_000) / made_voices.RATE
    found = made_voices.mels(np.sin(2 * np.pi * 1000 * time)[None])
    assert found.shape == (1, 101, 40)
    edges = np.linspace(0, 15 + np.log(8) * 27 / np.log(6.4), 42)  # 15 is 1000 Hz
    assert np.abs(edges[1 + found[0, 50].argmax()] - 15) < 1


@needs_weights
def test_pruned_networks_are_their_masked_twins(case):
    units = tnn.select(case.l1, amount=0.25)
    for moments in (None, case.taken):
        pruned = case.prune(units, moments)
        if case.others:  # mask takes no tied layers; prune has compared the two
            continue
        masked = tnn.mask(case.model, units, rnn=case.rnn, moments=moments)
        case_of = case.timed(pruned), case.timed(masked)
        torch.testing.assert_close(*case_of, rtol=1e-3, atol=1e-4)


@needs_weights
def test_moments_help(case):
    units = tnn.select(case.l1, amount=1 / 16)
    without, helped = (case.agreement(case.prune(units, m)) for m in (None, case.taken))
    assert helped > without


@needs_weights
def test_pruned_networks_are_saved_and_loaded(case, tmp_path):
    pruned = case.prune(tnn.select(case.l1, amount=0.25), case.taken)
    tnn.save(pruned, tmp_path / "smaller.safetensors")
    again = tnn.load(tmp_path / "smaller.safetensors", type(case.model)()).eval()
    assert torch.equal(case.timed(again), case.timed(pruned))


@needs_weights
def test_pruned_networks_take_weights_of_8_bits(case):
    pruned = case.prune(tnn.select(case.l1, amount=1 / 32), case.taken)
    integers = real_models.in_bytes(pruned)
    assert real_models.stored(integers) < 0.7 * real_models.stored(pruned)
    # The speaker encoder does not stand them when it is whole either.
    floats, whole = case.agreement(pruned), case.agreement(real_models.in_bytes(case.model))
    assert case.agreement(integers) > 0.9 * min(floats, whole)


def exported(case, pruned):
    """What is exported of a network, and its example."""
    if isinstance(case, real_models.Speakers):
        return (case.test[:2, :5],)
    units = pruned.cell.hidden_size
    return case.test[:2, :576], (torch.rand(2, units), torch.rand(2, units))


@needs_weights
@pytest.mark.parametrize("case", ["speakers", "voice"], indirect=True)
def test_pruned_networks_are_exported(case, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    pruned = case.prune(tnn.select(case.l1, amount=0.25), case.taken)
    example = exported(case, pruned)
    expected = torch.utils._pytree.tree_leaves(pruned(*example))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of PyTorch about itself
        program = torch.export.export(pruned, example)
        torch.onnx.export(program, dynamo=True, verbose=False).save(tmp_path / "m.onnx")
    for found, one in zip(
        torch.utils._pytree.tree_leaves(program.module()(*example)), expected, strict=True
    ):
        torch.testing.assert_close(found, one)
    session = runtime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    leaves = torch.utils._pytree.tree_leaves(example)
    given = {i.name: x.numpy() for i, x in zip(session.get_inputs(), leaves, strict=True)}
    for found, one in zip(session.run(None, given), expected, strict=True):
        np.testing.assert_allclose(found, one.numpy(), rtol=1e-3, atol=1e-4)


@needs_weights
@pytest.mark.parametrize("case", ["voice"], indirect=True)
def test_a_narrow_state_of_a_full_one_goes_on(case):
    units = tnn.select(case.l1, amount=0.25)
    pruned, masked = case.prune(units), tnn.mask(case.model, units, rnn="cell")
    chunks = case.test[:2, :576]
    _, state = masked(chunks)
    narrow = tnn.slice_state(case.model.cell, state, units)
    torch.testing.assert_close(pruned(chunks, narrow)[0], masked(chunks, state)[0])


def test_bisection_finds_the_last_number_that_agrees(monkeypatch):
    class Counted:
        model, pruned = None, staticmethod(lambda units, moments: len(units["l0"]))
        prune = pruned

        def agreement(self, removed):
            return 0.991 if removed <= 37 else 0.98

    scores = {"l0": torch.arange(64.0)}
    monkeypatch.setattr(
        real_models.tnn, "select", lambda scores, amount: {"l0": list(range(amount))}
    )
    assert real_models.smallest(Counted(), scores, None) == (37, 37)


def test_the_weights_are_taken_out_of_the_wheels(tmp_path):
    for wheel in ("Resemblyzer-1-py3-none-any", "silero_vad-1-py3-none-any", "g2p_en-1-none-any"):
        kind = wheel.partition("-")[0].lower()
        with zipfile.ZipFile(tmp_path / f"{wheel}.whl", "w") as opened:
            opened.writestr(f"{kind}/code.py", "raise SystemExit")
            for name in real_networks.FILES:
                if name.startswith(kind):
                    opened.writestr(name, name)
    assert "make real-models" in real_networks.missing(tmp_path)
    real_networks.unpack(tmp_path)
    assert real_networks.missing(tmp_path) is None
    assert (tmp_path / "pretrained.pt").read_text() == "resemblyzer/pretrained.pt"
    assert not list(tmp_path.glob("**/*.py"))


def test_the_page_shows_the_committed_results():
    results = json.loads((ROOT / "benchmarks" / "results" / "real-models.json").read_text())
    text = real_models.PAGE.read_text(encoding="utf-8")
    for name, table in real_models.TABLES.items():
        assert real_models.BEGIN.format(name) in text
        assert table(results) in text
    assert real_models.page(text, results) == text


@needs_weights
def test_the_example_of_the_page_runs(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    (code,) = re.findall(r"```python\n(.*?)```", real_models.PAGE.read_text(encoding="utf-8"), re.S)
    space = {}
    exec(code, space)
    assert space["smaller"].cell.hidden_size == 115
    assert space["agreement"] > 0.95


def test_files_are_measured_with_their_integers():
    model = torch.nn.Sequential(torch.nn.Linear(100, 100))
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    assert real_models.stored(model) == len(file.getvalue())
    assert real_models.stored(real_models.in_bytes(model)) < 0.4 * len(file.getvalue())
