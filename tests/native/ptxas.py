"""Read what ``nvcc -Xptxas=-v`` printed: fail if a kernel spills registers or uses a stack.

python tests/native/ptxas.py LOG
"""

import re
import sys
from collections import defaultdict
from pathlib import Path

KERNEL = re.compile(
    r"Compiling entry function '(?P<name>\w+)' for '(?P<arch>\w+)'.*?"
    r"(?P<stack>\d+) bytes stack frame, (?P<stores>\d+) bytes spill stores, "
    r"(?P<loads>\d+) bytes spill loads.*?Used (?P<registers>\d+) registers",
    re.DOTALL,
)
COUNTING = 65536 // 1024
"""Registers of a thread where a block has 1024, as those that count do."""


def main(log):
    registers, faults = defaultdict(list), []
    for kernel in KERNEL.finditer(log):
        used = int(kernel["registers"])
        registers[kernel["arch"]].append(used)
        if any(int(kernel[part]) for part in ("stack", "stores", "loads")):
            faults.append(f"{kernel['name']} on {kernel['arch']} spills or has a stack")
        if "5count" in kernel["name"] and used > COUNTING:
            faults.append(f"{kernel['name']} on {kernel['arch']} takes {used} registers")
    for arch, used in sorted(registers.items()):
        print(f"{arch}: {len(used)} kernels, {max(used)} registers at most")
    if not registers:
        faults.append("no kernel was compiled")
    return faults


if __name__ == "__main__":
    found = main(Path(sys.argv[1]).read_text(encoding="utf-8"))
    sys.exit("\n".join(found) or None)
