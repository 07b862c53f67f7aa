"""What containers request and may use: in the numbers of control groups, and added up for a pod. Pure.

Source: MilliCPUToShares, MilliCPUToQuota and ResourceConfigForPod in pkg/kubelet/cm/helpers_linux.go.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from meshcourse.node.spec.downward_api import quantity

if TYPE_CHECKING:
    from collections.abc import Callable

    from meshcourse.core.json_types import Json

KINDS: Final = ("cpu", "memory")
PERIOD: Final = 100_000
"""Microseconds; a quota of processor time holds in each such period."""
UNLIMITED: Final = -1
_LEAST_SHARES, _LEAST_QUOTA = 2, 1000


@dataclass(frozen=True)
class Limits:
    """`shares` weighs against other groups (1024 is one processor), `quota` is microseconds in each PERIOD, `memory` is bytes."""

    shares: int = _LEAST_SHARES
    quota: int = UNLIMITED
    memory: int = UNLIMITED


def of_container(container: Json, pod: Json) -> Limits:
    """What a container's group gets. Where it has no limit of its own, the pod's holds."""
    limits = {kind: _get(container, "limits", kind) or _get(pod["spec"], "limits", kind) for kind in KINDS}
    return _limits(_get(container, "requests", "cpu") or limits["cpu"], limits["cpu"], limits["memory"])


def of_pod(pod: Json) -> Limits:
    """What the group around all containers of a pod gets: limits only where the pod has them, or each of its containers."""
    limits = {kind: _get(pod["spec"], "limits", kind) or _all(pod, kind) for kind in KINDS}
    return _limits(requested(pod, "cpu"), limits["cpu"], limits["memory"])


def asks(pod: Json) -> bool:
    """Whether a pod names any request or limit of these kinds; one that names none never gets some later."""
    every = [pod["spec"], *(pod["spec"].get("initContainers") or []), *pod["spec"]["containers"]]
    return any(_get(each, which, kind) for each in every for which in ("requests", "limits") for kind in KINDS)


def requested(pod: Json, kind: str) -> Fraction:
    """How much the scheduler reserves for a pod."""
    return _get(pod["spec"], "requests", kind) or _sum(pod, lambda each: _get(each, "requests", kind))


def _limits(request: Fraction, processor: Fraction, memory: Fraction) -> Limits:
    return Limits(
        shares=max(_LEAST_SHARES, math.ceil(request * 1000) * 1024 // 1000),
        quota=max(_LEAST_QUOTA, math.ceil(processor * 1000) * PERIOD // 1000) if processor else UNLIMITED,
        memory=math.ceil(memory) if memory else UNLIMITED,
    )


def _get(spec: Json, which: str, kind: str) -> Fraction:
    return quantity(((spec.get("resources") or {}).get(which) or {}).get(kind, 0))


def _sum(pod: Json, value: Callable[[Json], Fraction]) -> Fraction:
    """Add up what may run together: an init container runs before the main ones, a sidecar beside them."""
    beside = most = Fraction(0)
    for each in pod["spec"].get("initContainers") or []:
        if each.get("restartPolicy") == "Always":
            beside += value(each)
            most = max(most, beside)
        else:
            most = max(most, beside + value(each))
    return max(most, beside + sum((value(each) for each in pod["spec"]["containers"]), Fraction(0)))


def _all(pod: Json, kind: str) -> Fraction:
    """Add up the containers' limits; 0 when one has none."""
    every = [*(pod["spec"].get("initContainers") or []), *pod["spec"]["containers"]]
    has_all = all(_get(each, "limits", kind) for each in every)
    return _sum(pod, lambda each: _get(each, "limits", kind)) if has_all else Fraction(0)
