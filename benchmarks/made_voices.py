"""Audio like voices, from harmonics and formants, and its mel spectrogram. NumPy alone.

Nobody speaks here: a voice is a row of harmonics whose strengths follow three resonances from vowel
to vowel, with hissing between them and pauses. It is enough for networks that look for voices.
"""

import numpy as np

RATE = 16_000  # samples a second
FRAME = 160  # samples between two columns of a spectrogram
WINDOW = 400
# Resonances of vowels in Hz, about those of a tract of 17 cm.
VOWELS = np.array(
    [
        [730, 1090, 2440], [270, 2290, 3010], [300, 870, 2240], [530, 1840, 2480],
        [570, 840, 2410], [660, 1720, 2410], [440, 1020, 2240], [490, 1350, 1690],
    ]
)  # fmt: skip
WIDTHS = np.array([80.0, 110.0, 160.0])  # of the resonances, in Hz


class Speaker:
    """A voice: its pitch, the length of its tract, its pace and how hoarse it is."""

    def __init__(self, seed):
        rng = np.random.default_rng([seed, 1])
        self.pitch = np.exp(rng.uniform(np.log(85), np.log(240)))
        self.tract = rng.uniform(0.85, 1.2)
        self.tilt = rng.uniform(0.9, 1.6)
        self.breath = rng.uniform(0.002, 0.02)
        self.pace = rng.uniform(0.8, 1.25)

    def speaks(self, seconds, seed, pauses=0.15):
        """Audio of shape (samples,), and which samples are spoken."""
        rng = np.random.default_rng([seed, 2])
        frames = int(seconds * 100)
        formants, loud, hiss = np.zeros((frames, 3)), np.zeros(frames), np.zeros(frames)
        at = 0
        while at < frames:
            if rng.random() < pauses:
                at += int(rng.uniform(25, 80))
                continue
            if rng.random() < 0.7:
                n = int(rng.uniform(4, 10) / self.pace)
                hiss[at : at + n] = rng.uniform(0.02, 0.1)
                at += n
            n = int(rng.uniform(8, 22) / self.pace)
            first, last = VOWELS[rng.integers(len(VOWELS), size=2)] * self.tract
            part = np.linspace(0, 1, n)[:, None]
            formants[at : at + n] = (first * (1 - part) + last * part)[: max(frames - at, 0)]
            loud[at : at + n] = rng.uniform(0.5, 1)
            at += n
        smooth = np.hanning(7) / np.hanning(7).sum()
        loud, hiss = (np.convolve(one, smooth, "same") for one in (loud, hiss))
        ahead = np.maximum.accumulate(np.where(formants[:, 0] > 0, np.arange(frames), 0))
        formants = np.stack([np.convolve(one, smooth, "same") for one in formants[ahead].T], 1)
        formants = np.where(formants > 0, formants, VOWELS[7])
        return self._sound(rng, formants, loud, hiss), np.repeat(loud + hiss > 0.02, FRAME)

    def _sound(self, rng, formants, loud, hiss):
        frames = len(loud)
        time = np.arange(frames * FRAME) / FRAME
        wander = np.cumsum(rng.normal(size=frames)) / 10
        wander -= np.linspace(0, wander[-1], frames)
        pitch = self.pitch * np.exp2(0.12 * np.sin(np.arange(frames) / rng.uniform(15, 30))
                                     + 0.04 * wander)  # fmt: skip
        phase = 2 * np.pi * np.cumsum(np.interp(time, np.arange(frames), pitch)) / RATE
        sound = np.zeros(frames * FRAME)
        for n in range(1, int(5000 / self.pitch)):
            strength = loud * resonance(n * pitch, formants) / n**self.tilt
            sound += np.interp(time, np.arange(frames), strength) * np.sin(n * phase)
        noise = rng.normal(size=frames * FRAME)
        noise = noise - np.roll(noise, 1)  # more of it in the high
        sound += noise * np.interp(time, np.arange(frames), hiss + self.breath * loud)
        return (0.1 * sound / (np.sqrt(np.mean(sound**2)) + 1e-9)).astype(np.float32)


def resonance(frequency, formants):
    """How much of a frequency (frames,) comes through resonances (frames, 3)."""
    away = (frequency[:, None] - formants) / WIDTHS
    return (1 / np.sqrt(1 + away**2) * [1, 0.6, 0.3]).sum(1)


def noises(seconds, seed):
    """What is no voice: hiss, hum, a tone, clicks or silence; shape (samples,)."""
    rng = np.random.default_rng([seed, 3])
    n = int(seconds * 100) * FRAME
    time = np.arange(n) / RATE
    white = rng.normal(size=n)
    made = (
        lambda: 0.05 * white,
        lambda: 0.02 * np.cumsum(white - white.mean()) / 20,
        lambda: 0.1 * np.sin(2 * np.pi * rng.uniform(300, 2000) * time),
        lambda: 0.05 * sum(np.sin(2 * np.pi * 50 * k * time) / k for k in (1, 3, 5)),
        lambda: 0.5 * (rng.random(n) < 3 / RATE),
        lambda: 1e-4 * white,
    )
    return made[seed % len(made)]().astype(np.float32)


def mel_filters(bands=40):
    """Triangles on Slaney's scale, linear up to 1 kHz and logarithmic above, of equal area."""

    def hertz(mel):
        return np.where(mel < 15, 200 / 3 * mel, 1000 * np.exp(np.log(6.4) / 27 * (mel - 15)))

    top = 15 + np.log(RATE / 2 / 1000) * 27 / np.log(6.4)
    edges = hertz(np.linspace(0, top, bands + 2))[:, None]
    bins = np.arange(WINDOW // 2 + 1) * RATE / WINDOW
    rise = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    return np.maximum(0, np.minimum(rise, fall)) * 2 / (edges[2:] - edges[:-2])


def mels(audio, bands=40):
    """Power in bands of (..., samples), every 10 ms, shape (..., frames, bands), float32."""
    audio = audio * (10 ** (-30 / 20) / np.sqrt(np.mean(audio**2, axis=-1, keepdims=True)))
    edges = [(0, 0)] * (audio.ndim - 1)
    padded = np.pad(audio, [*edges, (WINDOW // 2, WINDOW // 2)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW, axis=-1)[..., ::FRAME, :]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    power = np.abs(np.fft.rfft(windows * hann)) ** 2
    return (power @ mel_filters(bands).T).astype(np.float32)
