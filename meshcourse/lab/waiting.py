"""A progress bar for work that takes more than a few seconds.

At its end the bar reads the same whatever the duration, so that executed notebooks can be compared.
"""

from __future__ import annotations

import concurrent.futures
import time
from collections.abc import Callable
from typing import Final, TypeVar

import IPython.core.getipython
import IPython.display

from meshcourse.lab.output import Sentence

T = TypeVar("T")
STEP: Final = 0.25
WIDTH: Final = 24


def shown(work: Callable[[], T], name: str, seconds: float) -> T:
    """Run `work` and return its result, with a bar when `seconds` is above 0 and this is a notebook."""
    if not seconds or IPython.core.getipython.get_ipython() is None:
        return work()
    handle = IPython.display.display(Sentence(bar(name, 0.0)), display_id=True)  # type: ignore[no-untyped-call]
    started = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(max_workers=1) as one:
        future = one.submit(work)
        while not concurrent.futures.wait([future], timeout=STEP).done:
            handle.update(Sentence(bar(name, (time.monotonic() - started) / seconds)))
        handle.update(Sentence(bar(name, 1.0)))
        return future.result()


def bar(name: str, share: float) -> str:
    """`checking 10.2 ██████░░░░`. Work that takes longer than expected stays one step short of full."""
    filled = WIDTH if share == 1.0 else min(int(WIDTH * share), WIDTH - 1)
    return f"{name} {'█' * filled}{'░' * (WIDTH - filled)}"
