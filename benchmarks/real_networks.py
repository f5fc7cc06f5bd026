"""Three recurrent networks that others trained: the classes here, the weights from their packages.

    python benchmarks/real_networks.py build/real-models    # the weights out of the wheels there

The packages are not installed and none of their code runs: the classes are written from the shapes
of the weights. `make real-models` downloads the wheels, at the versions of constraints.txt.
"""

import shutil
import sys
import zipfile
from pathlib import Path

import numpy as np
import torch
from report import ROOT
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

FOLDER = ROOT / "build" / "real-models"
# What is needed of the wheels.
FILES = {
    "resemblyzer/pretrained.pt": "[Rr]esemblyzer-*.whl",
    "silero_vad/data/silero_vad_16k_op15.onnx": "silero_vad-*.whl",
    "g2p_en/checkpoint20.npz": "g2p_en-*.whl",
}


def unpack(folder=FOLDER):
    """Take the needed files out of the wheels in a folder, without the packages' folders."""
    for name, pattern in FILES.items():
        (wheel,) = folder.glob(pattern)
        to = folder / Path(name).name
        with zipfile.ZipFile(wheel) as opened, opened.open(name) as packed, to.open("wb") as file:
            shutil.copyfileobj(packed, file)


def missing(folder=FOLDER):
    """Why the networks cannot be built, or None."""
    lacking = [Path(name).name for name in FILES if not (folder / Path(name).name).is_file()]
    return f"no {', '.join(lacking)}: run `make real-models`" if lacking else None


class SpeakerEncoder(nn.Module):
    """Resemblyzer's: three LSTM layers over mels; the last state becomes a vector of length 1."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(40, 256, num_layers=3, batch_first=True)
        self.linear = nn.Linear(256, 256)

    def forward(self, mels):  # (n, T, 40)
        _, (state, _) = self.lstm(mels)
        return nn.functional.normalize(self.linear(state[-1]).relu(), dim=1)  # (n, 256)


class VoiceActivity(nn.Module):
    """silero-vad's at 16 kHz: a spectrum, convolutions, an LSTM cell that goes from chunk to chunk.

    A chunk is 32 ms of audio behind the last 4 ms of the chunk before.
    """

    CHUNK, BEFORE = 512, 64

    def __init__(self):
        super().__init__()
        self.spectrum = nn.Conv1d(1, 258, 256, stride=128, bias=False)
        widths, strides = (129, 128, 64, 64, 128), (1, 2, 2, 1)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(a, b, 3, stride=stride, padding=1)
            for a, b, stride in zip(widths, widths[1:], strides, strict=False)
        )
        self.cell = nn.LSTMCell(128, 128)
        self.head = nn.Conv1d(128, 1, 1)

    def features(self, chunks):  # (n, 576)
        waves = self.spectrum(nn.functional.pad(chunks, (0, 64), mode="reflect").unsqueeze(1))
        cosine, sine = waves.split(129, dim=1)
        found = (cosine**2 + sine**2).sqrt()
        for convolution in self.convolutions:
            found = convolution(found).relu()
        return found.squeeze(2)  # (n, 128)

    def forward(self, chunks, state=None):
        h, c = self.cell(self.features(chunks), state)
        return self.head(h.relu().unsqueeze(2)).sigmoid().flatten(), (h, c)

    def listen(self, audio):
        """Probabilities of a voice in every chunk of (n, samples), shape (n, chunks)."""
        found, state = [], None
        before = audio.new_zeros(len(audio), self.BEFORE)
        for start in range(0, audio.shape[1] - self.CHUNK + 1, self.CHUNK):
            chunk = torch.cat([before, audio[:, start : start + self.CHUNK]], dim=1)
            probability, state = self(chunk, state)
            found.append(probability)
            before = chunk[:, -self.BEFORE :]
        return torch.stack(found, dim=1)


# The marks of CMU's dictionary. A vowel has a stress; one of them is there without, too.
VOWELS = "AA AE AH AO AW AY EH ER EY IH IY OW OY UH UW"
OTHERS = "B CH D DH F G HH JH K L M N NG P R S SH T TH UW V W Y Z ZH"
PHONEMES = ["<pad>", "<unk>", "<s>", "</s>"]
PHONEMES += sorted([f"{one}{n}" for one in VOWELS.split() for n in range(3)] + OTHERS.split())
START, END = PHONEMES.index("<s>"), PHONEMES.index("</s>")


class Pronunciation(nn.Module):
    """g2p-en's: a GRU reads letters, another starts from its state and says phonemes."""

    def __init__(self):
        super().__init__()
        self.letters = nn.Embedding(29, 256)
        self.encoder = nn.GRU(256, 256, batch_first=True)
        self.phonemes = nn.Embedding(len(PHONEMES), 256)
        self.decoder = nn.GRU(256, 256, batch_first=True)
        self.head = nn.Linear(256, len(PHONEMES))

    def read(self, letters, lengths):
        return self.encoder(packed(self.letters(letters), lengths))[1]

    def forward(self, letters, lengths, spoken, spoken_lengths):
        """Logits of the phoneme after each that is given, a row for each within the lengths."""
        state = self.read(letters, lengths)
        output, _ = self.decoder(packed(self.phonemes(spoken), spoken_lengths), state)
        return self.head(output.data)

    def say(self, letters, lengths, steps=20):
        """The likeliest phoneme again and again, shape (n, steps)."""
        state = self.read(letters, lengths)
        last, found = torch.full_like(letters[:, :1], START), []
        for _ in range(steps):
            output, state = self.decoder(self.phonemes(last), state)
            last = self.head(output).argmax(2)
            found.append(last)
        return torch.cat(found, dim=1)


def packed(values, lengths):
    return pack_padded_sequence(values, lengths, batch_first=True, enforce_sorted=False)


def spelled(words):
    """Letters of words as numbers (n, T), ending with a mark, and their lengths."""
    rows = [[ord(letter) - ord("a") + 3 for letter in word] + [2] for word in words]
    return filled(rows)


def filled(rows):
    lengths = torch.tensor([len(row) for row in rows])
    table = torch.zeros(len(rows), int(lengths.max()), dtype=torch.long)
    for to, row in zip(table, rows, strict=True):
        to[: len(row)] = torch.tensor(row)
    return table, lengths


def until_end(said):
    """Phonemes as numbers, a list for each word, without the end and what comes behind it."""
    return [row[: row.index(END)] if END in row else row for row in said.tolist()]


def speaker_encoder(folder=FOLDER):
    # Tensors alone are read of the pickle, and none of its code can run.
    saved = torch.load(folder / "pretrained.pt", weights_only=True, map_location="cpu")
    weights = saved["model_state"]
    names = [name for name in weights if name.startswith(("lstm.", "linear."))]
    return with_weights(SpeakerEncoder(), {name: weights[name] for name in names})


def voice_activity(folder=FOLDER):
    """Of the ONNX file, which the package runs. Its safetensors hold another training."""
    import onnx

    saved = onnx.load(folder / "silero_vad_16k_op15.onnx").graph.initializer
    names = {"model.stft.forward_basis_buffer": "spectrum.weight"}
    for kind in ("weight", "bias"):
        names[f"model.decoder.decoder.2.{kind}"] = f"head.{kind}"
        for n in range(4):
            names[f"model.encoder.{n}.reparam_conv.{kind}"] = f"convolutions.{n}.{kind}"
        for side in ("ih", "hh"):
            names[f"model.decoder.rnn.{kind}_{side}"] = f"cell.{kind}_{side}"
    arrays = {one.name: onnx.numpy_helper.to_array(one).copy() for one in saved}
    return with_weights(
        VoiceActivity(), {ours: torch.from_numpy(arrays[name]) for name, ours in names.items()}
    )


def pronunciation(folder=FOLDER):
    with np.load(folder / "checkpoint20.npz", allow_pickle=False) as saved:
        arrays = {name: torch.from_numpy(saved[name]) for name in saved.files}
    renamed = {"letters.weight": "enc_emb", "phonemes.weight": "dec_emb"}
    renamed |= {"head.weight": "fc_w", "head.bias": "fc_b"}
    for layer, short in (("encoder", "enc"), ("decoder", "dec")):
        for kind, letter in (("weight", "w"), ("bias", "b")):
            for side in ("ih", "hh"):
                renamed[f"{layer}.{kind}_{side}_l0"] = f"{short}_{letter}_{side}"
    return with_weights(Pronunciation(), {ours: arrays[name] for ours, name in renamed.items()})


def with_weights(model, weights):
    model.load_state_dict(weights)
    return model.eval().requires_grad_(False)


if __name__ == "__main__":
    unpack(Path(sys.argv[1]))
