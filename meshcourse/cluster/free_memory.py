"""Gives memory that the daemon has freed back to Linux; glibc alone keeps most of it for later.

Measured (1 Dec 2026, a busy machine): a fresh daemon has 71 MB; after 200 pods that came and went it had 99, of which 25 were free inside
malloc, which had 0.6 MB more in use than before. Given back, 83 are left: the last 1,024 events, and gaps in Python's own memory.
A call takes half a millisecond.
"""

from __future__ import annotations

import asyncio
import ctypes
import time

EVERY = 60.0
"""Seconds between two looks."""
WORKED = 0.5
"""Seconds of the processor after which there may be something to give back."""


async def run() -> None:
    """Look now and then, until cancelled. Other C libraries (musl) have no such call, and do not need it."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    given = 0.0
    while trim is not None:
        await asyncio.sleep(EVERY)
        if time.process_time() - given > WORKED:
            await asyncio.to_thread(trim, 0)
            given = time.process_time()
