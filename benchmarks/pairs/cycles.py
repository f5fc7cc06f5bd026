"""Cycles of this process's threads, by `perf stat`, where there is a counter for them."""

import os
import re
import shutil
import signal
import subprocess
import time

EVENT = "cycles:u"
ATTACHED_AFTER = 0.3
"""Seconds after which perf has found all threads."""


class Counter:
    """Counts while it is entered; `cycles` is None where nothing counts them."""

    cycles: int | None = None

    def __enter__(self):
        self._perf = None
        if shutil.which("perf"):
            command = ["perf", "stat", "-x", ",", "-e", EVENT, "-p", str(os.getpid())]
            self._perf = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
            time.sleep(ATTACHED_AFTER)
        return self

    def __exit__(self, *_):
        if self._perf is not None:
            self._perf.send_signal(signal.SIGINT)
            self.cycles = counted(self._perf.communicate()[1])


def counted(text):
    """The cycles that `perf stat -x ,` tells, or None where it says that it counted none."""
    found = re.search(rf"^(\d+),[^,]*,{EVENT}", text, re.M)
    return int(found[1]) if found else None
