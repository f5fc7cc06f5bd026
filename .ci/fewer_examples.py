"""A plugin of pytest for an emulated processor: property tests draw an eighth of their examples."""

import hypothesis

full = hypothesis.settings


def fewer(*arguments, max_examples=100, **others):
    """Return settings as asked for, but with fewer examples."""
    return full(*arguments, max_examples=max(5, max_examples // 8), **others)


hypothesis.settings = fewer
