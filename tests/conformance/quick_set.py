"""Some twenty conformance specs that take some two minutes: one of each kind that has ever failed here, and one of each SIG."""

from __future__ import annotations

from typing import Final

_EVER_FAILED: Final = (
    "will start an ephemeral container in an existing pod",
    "should allow activeDeadlineSeconds to be updated",
    "from log output if TerminationMessagePolicy FallbackToLogsOnError is set",
    "should support sysctls",
    "should function for node-pod communication: http",
    "should test kubelet managed /etc/hosts file",
    "HostPort validates that there is no conflict",
    "Should recreate evicted statefulset",
    "should succeed with pod and pull policy of Always",
    "Secrets should be consumable via the environment",
    "read only busybox container should not write to root filesystem",
    "should have at least two untainted nodes",
    "Sample API Server using the current Aggregator",
    "to ignore failure matching on DisruptionTarget condition",
)
_OF_EACH_SIG: Final = (
    "ServiceAccounts should mount an API token into pods",
    "Kubectl replace should update a single-container pod's image",
    "Events should manage the lifecycle of an event",
    "LimitRange should list, patch and delete a LimitRange by collection",
    "EmptyDir volumes should support .root,0644,tmpfs",
    "DNS should provide DNS for services",
    "Services should serve a basic endpoint from pods",
    "Deployment RollingUpdateDeployment should delete old pods and create new ones",
)
_WITH_CONTROL_GROUPS: Final = ("resize pod via the replace endpoint",)


def pattern(*, limits_hold: bool) -> str:
    """A regular expression for the quick set's names. Resize is only for a node on which limits hold."""
    return "|".join((*_EVER_FAILED, *_OF_EACH_SIG, *(_WITH_CONTROL_GROUPS if limits_hold else ())))
