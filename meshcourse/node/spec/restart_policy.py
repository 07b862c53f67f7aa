"""When a container that has ended is started again.

The first restart is immediate; then 10 s, 20 s, ... up to 5 minutes; a run of 10 minutes resets this, as in kubelet (CrashLoopBackOff).
Pulling a missing image backs off in the same steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from meshcourse.core.json_types import Json

FIRST_SECONDS = 10.0
LONGEST_SECONDS = 300.0
FORGET_SECONDS = 600.0


@dataclass(frozen=True)
class Backoff:
    """The next wait. `delay` is 0 before the first attempt; `since` is the time of the last one."""

    delay: float = 0.0
    since: float = 0.0

    def due(self, ended: float) -> float:
        """The time at which a run that ended at `ended` may be started again."""
        if ended - self.since > FORGET_SECONDS:
            return ended
        return ended + self.delay

    def attempted(self, now: float) -> Backoff:
        """The back-off after an attempt at `now`."""
        if not self.delay or now - self.since > FORGET_SECONDS + self.delay:
            return Backoff(FIRST_SECONDS, now)
        return Backoff(min(self.delay * 2, LONGEST_SECONDS), now)


def duration(seconds: float) -> str:
    """A duration in Go's format, as in the messages: 10s, 1m20s, 5m0s."""
    whole = round(seconds)
    return f"{whole}s" if whole < 60 else f"{whole // 60}m{whole % 60}s"  # noqa: PLR2004 - seconds in a minute


def after_probe(pod: Json, container: Json) -> bool:
    """Whether a container that its probes have ended restarts: by its own policy, else the pod's; restart rules do not apply."""
    return _policy(pod, container) != "Never"


def wanted(pod: Json, container: Json, *, init: bool, exit_code: int) -> bool:
    """Whether a container that ended with `exit_code` restarts: by its own rules, its own policy, then the pod's.

    An init container under the pod's policy Always restarts only when it failed.
    """
    for rule in container.get("restartPolicyRules") or []:
        codes = rule.get("exitCodes") or {}
        listed = exit_code in (codes.get("values") or [])
        if codes and listed == (codes.get("operator") == "In"):
            return bool(rule.get("action") == "Restart")
    policy = _policy(pod, container)
    if policy == "Never":
        return False
    if policy == "OnFailure":
        return exit_code != 0
    return not init or container.get("restartPolicy") == "Always" or exit_code != 0


def _policy(pod: Json, container: Json) -> str:
    policy: str = container.get("restartPolicy") or pod["spec"].get("restartPolicy", "Always")
    return policy
