"""Several learners on one cluster: each has a name, with which their namespaces begin, and a port of the shared ingress gateway.

The policies in learners.yaml, which an administrator applies, limit each learner to their own port; lab.chapter tests them first.
"""

from __future__ import annotations

import itertools
import re
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from meshcourse.backends import ingress
from meshcourse.core import settings
from meshcourse.core.errors import ClusterError

FILE: Final = Path(__file__).with_name("learners.yaml")
PORTS: Final = range(20000, 30000)
"""Above Istio's own (15000 to 15443), below NodePorts (30000 to 32767) and the ports that Linux gives to clients (from 32768 on)."""
_NAME: Final = re.compile(r"[a-z]([-a-z0-9]{0,28}[a-z0-9])?")


def check_name(learner: str) -> str:
    """`learner`, if namespaces can begin with it. Raises ClusterError."""
    if _NAME.fullmatch(learner):
        return learner
    raise ClusterError(
        f"{learner!r} cannot be a learner's name.",
        why="namespaces begin with it: a lowercase letter, then up to 29 lowercase letters, digits and hyphens, no hyphen at the end",
        next="meshcourse up ... --learner ada",
    )


def check_way(way: str) -> None:
    """Raise ClusterError for a `way` that cannot reach a learner's own port: the Service has only the shared ports."""
    if way in {ingress.LOAD_BALANCER, ingress.NODE_PORT}:
        raise ClusterError(
            f"A learner's own port cannot be reached by {way}.",
            why=f"the Service {settings.ISTIO_NAMESPACE}/{settings.INGRESS_GATEWAY} does not have it; it is open in the gateway's pod",
            next="meshcourse up ... --ingress port-forward    # or --ingress URL, where an administrator has opened it",
        )


def check_cluster(resources: Iterable[str], version: str) -> None:
    """Whether a cluster that serves these `resources` of admissionregistration.k8s.io/v1 can be shared. Raises ClusterError."""
    if "mutatingadmissionpolicies" not in resources:
        raise ClusterError(
            "This cluster cannot be shared by learners: that needs Kubernetes 1.36 or newer.",
            why=f"it has {version}, which does not serve the policies of {FILE.name}: nothing would keep learners to their own ports",
            next="meshcourse up ... without --learner    # for one person at a time, who can do every chapter",
        )


def choose(learner: str, namespaces: Iterable[Mapping[str, Any]]) -> int:
    """A port for a learner who is new to the cluster. Raises ClusterError when a learner there has that name.

    It is computed from the name, so that it is usually the same the next time; lab.chapter checks again that no other learner has it.
    """
    labels = [each["metadata"].get("labels") or {} for each in namespaces]
    if any(each.get(settings.LEARNER_LABEL) == learner for each in labels):
        raise ClusterError(
            f'There is a learner "{learner}" in this cluster already.',
            why=f"kubectl get namespaces -l {settings.LEARNER_LABEL}={learner}",
            next=f"meshcourse up ... --learner NAME    # if it is you: kubectl delete namespaces -l {settings.LEARNER_LABEL}={learner}",
        )
    taken = {each.get(settings.PORT_LABEL) for each in labels}
    first = zlib.crc32(learner.encode()) % len(PORTS)
    return next(port for port in itertools.chain(PORTS[first:], PORTS[:first]) if str(port) not in taken)
