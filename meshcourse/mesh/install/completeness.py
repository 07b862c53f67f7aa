"""Whether an installation of Istio is complete, or only a part of it exists after an interrupted `istioctl install` or `uninstall`.

A Deployment may exist without its ServiceAccount, or istiod without the injection webhook: then nothing gets ready, or everything does and
nothing is injected. One call of kubectl, a few tenths of a second.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

from meshcourse.kube import commands, resources
from meshcourse.kube.connection import Connection
from meshcourse.mesh.install import installation
from meshcourse.mesh.install.installation import Installation

_KINDS: Final = (
    "serviceaccounts,services,configmaps,roles,rolebindings,clusterroles,clusterrolebindings,"
    "mutatingwebhookconfigurations,validatingwebhookconfigurations"
)
_TAGGED_SINCE: Final = (1, 24)
"""From this version on the webhook of the tag `default` always does the injection."""


def missing(connection: Connection, found: Installation) -> tuple[str, ...]:
    """What the Deployments of `found` need and the cluster lacks, as `kind/name`; empty when all exists, or reading it is forbidden.

    Raises KubernetesError when the cluster does not answer.
    """
    done = commands.run(connection, ["kubectl", "get", _KINDS, "-n", installation.NAMESPACE, "-o", "name"], timeout=30.0)
    if done.code and "forbidden" in done.complaint.lower():
        return ()  # an existing cluster, which only its administrator can repair
    if done.code:
        raise resources.refusal(done, "the list of Istio's objects")
    there = {_short(line) for line in done.stdout.split()}
    return lacking(found, there)


def summary(lacking: Collection[str]) -> str:
    """One line about an incomplete installation."""
    return f"an earlier installation was interrupted (there is no {', '.join(list(lacking)[:3])}); finishing it now"


def lacking(found: Installation, there: Collection[str]) -> tuple[str, ...]:
    """Which objects that `found` needs are not in `there`, both as `kind/name`."""
    return tuple(each for each in _needed(found) if each not in there)


def _needed(found: Installation) -> Iterator[str]:
    for name, _, _ in found.deployments:
        if name == "istiod":
            yield from ("serviceaccount/istiod", "service/istiod", "configmap/istio", "configmap/istio-sidecar-injector")
            yield from ("role/istiod", "rolebinding/istiod")
            yield from (f"{kind}/istiod-clusterrole-{installation.NAMESPACE}" for kind in ("clusterrole", "clusterrolebinding"))
            yield "mutatingwebhookconfiguration/istio-sidecar-injector"
            yield f"validatingwebhookconfiguration/istio-validator-{installation.NAMESPACE}"
            if _numbers(found.version) >= _TAGGED_SINCE:
                yield "mutatingwebhookconfiguration/istio-revision-tag-default"
        elif name in {installation.INGRESS, installation.EGRESS}:
            yield from (f"serviceaccount/{name}-service-account", f"service/{name}", f"role/{name}-sds", f"rolebinding/{name}-sds")


def _short(line: str) -> str:
    """`role/istiod` for `role.rbac.authorization.k8s.io/istiod`."""
    kind, _, name = line.partition("/")
    return f"{kind.partition('.')[0]}/{name}"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("-", maxsplit=1)[0].split(".")[:2] if part.isdigit())
