"""Growing pauses between retries."""

from __future__ import annotations

from collections.abc import Iterator


def back_off(first: float, longest: float) -> Iterator[float]:
    """Seconds to wait before each retry: `first`, then twice as long each time, at most `longest`, without end.

    >>> import itertools
    >>> list(itertools.islice(back_off(1, 5), 5))
    [1, 2, 4, 5, 5]
    """
    pause = first
    while True:
        yield pause
        pause = min(pause * 2, longest)
