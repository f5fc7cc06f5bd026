"""How many instructions the kernel executes, whatever else the machine does.

`make instructions` builds `instructions.cpp`, runs each of its cases in Valgrind's callgrind on the
AVX2 level, and compares the numbers with those in `results/instructions.json`. It fails if one has
grown by more than a twentieth. Instructions depend on the compiler, so numbers are kept for each
version of it; `--update` keeps those of this one. A call may take longer without more of them:
where a loop begins, or what lies in the cache, is not seen here.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

RESULTS = Path(__file__).parent / "results" / "instructions.json"
GROWTH = 1.05
LEVEL = "avx2"


def instructions(program, case, times):
    """Instructions of a whole process."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/out",
             program, case, str(times)],
            env={**os.environ, "TEFAST_SIMD_LEVEL": LEVEL, "OMP_NUM_THREADS": "1"},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(f"{case}: {done.stderr[-2000:]}")
        return int(re.search(r"^summary: (\d+)", Path(folder, "out").read_text(), re.M)[1])


def measured(program):
    """Instructions of each case, by name."""
    listed = subprocess.run([program], capture_output=True, text=True, check=True).stdout
    found = {}
    for case in listed.splitlines():
        found[case] = instructions(program, case, 2) - instructions(program, case, 1)
        print(f"{found[case]:14,}  {case}", flush=True)
    return found


def compared(found, known):
    """Lines on what differs, and whether a case has grown too much."""
    lines = [f"no longer there: {case}" for case in known if case not in found]
    grown = False
    for case, number in found.items():
        before = known.get(case)
        if before is None:
            lines.append(f"new: {case}")
        elif number > GROWTH * before or number * GROWTH < before:
            lines.append(f"{number / before:.3f} times what it was: {case}")
            grown |= number > GROWTH * before
    return lines, grown


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("program", help="the compiled instructions.cpp")
    parser.add_argument("compiler", help="the compiler and its version, as numbers are kept")
    parser.add_argument("--update", action="store_true", help="keep the numbers")
    given = parser.parse_args(arguments)
    found = measured(given.program)
    kept = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    if given.update:
        kept[given.compiler] = found
        RESULTS.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
        return 0
    known = kept.get(given.compiler)
    if known is None:
        print(f"no numbers are kept for {given.compiler}, but for {', '.join(kept) or 'none'}")
        return 0
    lines, grown = compared(found, known)
    print("\n".join(lines) or "as before")
    return int(grown)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
