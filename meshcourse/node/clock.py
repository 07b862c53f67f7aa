"""The wall clock as Kubernetes writes it.

Comes in: nothing. Goes out: RFC 3339 texts in UTC: whole seconds for statuses (metav1.Time), microseconds for leases (metav1.MicroTime).
Who asks: every part of the node that stamps something. Durations use time.monotonic instead.
"""

from __future__ import annotations

import datetime as dt


def now() -> str:
    """Give the present second, as statuses show it."""
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def now_micro() -> str:
    """Give the present moment with microseconds, as a Lease wants it."""
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
