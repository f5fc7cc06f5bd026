"""All pairs: tefast on the jobs that people have, beside what else one could use for them.

    make bench-pairs                        # all of it, about a quarter of an hour
    make bench-pairs ARGS="-k mESC"         # some of it: rows whose names hold this
    make bench-pairs ARGS="--small"         # whether it runs: a few series, nothing kept

Every measurement has a process of its own, so that its peak of memory is its own, and so that a
failure of one leaves the others alone. `shapes` makes the data, `ways` lists what is measured,
`one` measures one way on one shape, `__main__` goes through all of them, and `page` makes the
tables of docs/benchmarks.md.
"""
