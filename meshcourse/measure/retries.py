"""The effect of retries in theory, and how many requests arrive at each hop in fact.

Envoy's `num_retries` (Istio's `attempts`) counts the tries after the first: `attempts` retries are `attempts + 1` tries. Tries are assumed
to fail independently, as with injected faults.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from meshcourse.core import errors
from meshcourse.kube.connection import Connection
from meshcourse.measure import proxy_stats

INBOUND: Final = "cluster.inbound|"
"""Prefix of the stats about a proxy's own application."""
_TOTAL: Final = ".upstream_rq_total"


def success(fail: float, attempts: int) -> float:
    """The probability that a request succeeds: 1 - fail^(attempts + 1)."""
    return 1.0 - fail ** (attempts + 1)


def tries(fail: float, attempts: int) -> float:
    """Tries per request, on average: 1 + fail + fail^2 + ... + fail^attempts."""
    return sum(fail**turn for turn in range(attempts + 1))


def last_tries(fail: float, attempts: int) -> dict[int, float]:
    """For each number of tries, the probability that a request takes exactly so many, whether the last one succeeds or not."""
    early = {turn: fail ** (turn - 1) * (1.0 - fail) for turn in range(1, attempts + 1)}
    return {**early, attempts + 1: fail**attempts}


def arrived(connection: Connection, namespace: str, deployment: str) -> int:
    """Requests that a Deployment's proxy has passed to its application since it started; retries by callers count each time.

    Raises CourseError when the proxy does not keep that counter, KubernetesError when there is no such Deployment.
    """
    return total(proxy_stats.read(connection, namespace, f"deployment/{deployment}", containing=INBOUND), deployment)


def total(found: Mapping[str, int], deployment: str) -> int:
    """The sum of the request counters in a proxy's inbound stats; Envoy creates them at the first request, before that it is 0.

    Raises CourseError when there are no inbound stats at all.
    """
    if not any(INBOUND in name for name in found):
        raise errors.CourseError(
            f"The proxy of {deployment} has no counter of arriving requests.",
            why="Istio exposes few statistics unless proxyStatsMatcher in the pod's annotation proxy.istio.io/config names more",
            next=f"kubectl get deployment {deployment} -o yaml    # does its template name cluster.inbound there?",
        )
    return sum(value for name, value in found.items() if INBOUND in name and name.endswith(_TOTAL))
