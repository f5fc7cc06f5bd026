"""PyInform: C, one thread, one pair of series at a time.

It knows neither delays nor histories of the source; the source is moved and joined beforehand.
"""

import numpy as np
from pyinform.transferentropy import transfer_entropy as pair

from pairs import states


def prepare(shape):
    """Data as the library wants them, at no cost."""
    targets = shape.codes.astype(np.int32)
    # It takes the source one step before the target's next.
    sources = [
        (shape.first(d) - shape.target_history, ahead(states.of_sources(shape, d)))
        for d in shape.delays
    ]

    def run():
        found = [
            [
                [pair(source[start:], target[start:], k=shape.target_history) for target in targets]
                for source in of_delay
            ]
            for start, of_delay in sources
        ]
        return states.best(np.array(found))

    return run


def ahead(rows):
    """A step earlier."""
    found = np.zeros(rows.shape, np.int32)
    found[:, :-1] = rows[:, 1:]
    return found
