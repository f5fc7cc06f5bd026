"""A plugin of pytest for an emulated processor: property tests draw an eighth of their examples."""

import hypothesis


class Fewer(hypothesis.settings):
    """Settings as asked for, but with fewer examples."""

    def __init__(self, *arguments, max_examples=100, **others):
        super().__init__(*arguments, max_examples=max(5, max_examples // 8), **others)


hypothesis.settings = Fewer
