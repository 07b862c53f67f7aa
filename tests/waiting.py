"""Waiting for a condition, in tests of asynchronous changes."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest


def until(condition: Callable[[], object], within: float = 30.0) -> float:
    """Wait until `condition` holds; returns the seconds. After `within` seconds the test fails."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > within:
            pytest.fail(f"did not come about within {within} s")
        time.sleep(0.02)
    return time.monotonic() - began
