"""tefast on a GPU, beside a copy of the same data and beside what else one could use there.

    python -m gpu --out build/gpu/gpu.json    # with this folder's parent in PYTHONPATH
    python -m gpu.table build/gpu/gpu.json    # the table of such a file

`benchmarks/gpu_check.sh` builds, tests and runs all of it. Nothing here needs a GPU to be imported:
on the CPU the same code runs, but for what only a GPU has.
"""
