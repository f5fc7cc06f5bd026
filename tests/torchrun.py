"""Scripts that run in several processes of this machine, as torchrun starts them."""

import os
import subprocess
import sys


def torchrun(script, processes, *arguments, module=False, **options):
    """Run a script, or a module, in several processes; the finished process, with its output."""
    return subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1",
         f"--nproc-per-node={processes}", *(["-m"] if module else []), str(script),
         *map(str, arguments)],
        env={**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=300, **options,
    )  # fmt: skip
