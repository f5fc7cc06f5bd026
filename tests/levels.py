"""The kernel's instruction sets: those of this processor, and one of them for a while."""

from contextlib import contextmanager

import tefast

RUNNABLE = tefast.build_info()["instruction_sets"]


@contextmanager
def using(level):
    from tefast import _native

    before = tefast.build_info()["instruction_set"]
    _native.use_level(level)
    try:
        yield
    finally:
        _native.use_level(before)
