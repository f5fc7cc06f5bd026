"""How long a layer takes, here and elsewhere: what `make bench` has measured."""

import json
from pathlib import Path

import matplotlib.pyplot as plt

RIVALS = {
    "test_pyinform_given_codes[all]": "PyInform, codes given",
    "test_cython": "Cython, OpenMP",
    "test_torch": "PyTorch, bincount",
    "test_numba": "Numba, parallel",
    "test_numpy": "NumPy, bincount",
    "test_pyinform": "PyInform",
}
results = Path("../../benchmarks/results")
files = {path.stem: json.loads(path.read_text()) for path in sorted(results.glob("*-threads.json"))}
name, found = next(iter(files.items()))
measured, hardware = found["measured"], found["hardware"]

times = {label: measured[test]["ratio"] for test, label in RIVALS.items() if test in measured}
times = {"tefast": 1.0, **dict(sorted(times.items(), key=lambda pair: pair[1]))}

figure, axes = plt.subplots(figsize=(6, 3.8), layout="constrained")
colors = ["crimson"] + ["0.65"] * (len(times) - 1)
bars = axes.barh(list(times), list(times.values()), color=colors)
axes.bar_label(
    bars, [f"{ratio:.1f} x" if ratio > 1 else "1" for ratio in times.values()], padding=4
)
axes.set(xlabel="time, in times that of tefast", xlim=(0, 1.15 * max(times.values())))
axes.set_title(
    f"{hardware['processor']}, {hardware['threads']} threads, {hardware['instruction_set']}"
)
axes.invert_yaxis()
