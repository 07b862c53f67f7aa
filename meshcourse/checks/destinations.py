"""Which destinations of a VirtualService exist, and what is wrong with the others: pure functions over objects of the cluster.

Envoy answers 503 for a wrong destination, with the flag NC when it has no such cluster (no Service, no such port, a subset that no
DestinationRule defines) and UH when the cluster is empty (no pod has the labels, or none is ready).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from meshcourse.checks.exercises import ClusterView
from meshcourse.core.json_types import Json

HTTP: Final = 80
_KINDS: Final = "services,pods,destinationrules.networking.istio.io,serviceentries.networking.istio.io"


@dataclass(frozen=True)
class Trouble:
    """One wrong destination: the flag that Envoy logs for it, what is wrong, and what to look at."""

    flag: str
    seen: str
    hint: str


@dataclass(frozen=True)
class Surroundings:
    """The objects of one namespace that destinations can refer to."""

    namespace: str
    services: Mapping[str, Json]
    pods: tuple[Json, ...]
    rules: tuple[Json, ...]
    external: frozenset[str]
    """Hosts that ServiceEntries name."""

    def service(self, host: str) -> str:
        """The name of the namespace's Service that `host` means in this namespace, as Istio reads it; empty for any other host."""
        full = f".{self.namespace}.svc.cluster.local"
        name = host.removesuffix(full) if host.endswith(full) else host
        return name if name in self.services else ""

    def rules_for(self, name: str) -> tuple[Json, ...]:
        """The DestinationRules for a Service."""
        return tuple(rule for rule in self.rules if self.service(str(rule.get("spec", {}).get("host", ""))) == name)

    def behind(self, labels: Mapping[str, Any]) -> tuple[Json, ...]:
        """The pods that have all of these labels and are not being deleted."""
        wanted = {str(key): str(value) for key, value in labels.items()}.items()
        living = (pod for pod in self.pods if not pod["metadata"].get("deletionTimestamp"))
        return tuple(pod for pod in living if wanted <= (pod["metadata"].get("labels") or {}).items())


def surroundings(view: ClusterView) -> Surroundings:
    """Read from the chapter's namespace, by one call."""
    every = view.objects(_KINDS)
    kinds: dict[str, list[Json]] = {}
    for each in every:
        kinds.setdefault(str(each["kind"]), []).append(each)
    return Surroundings(
        view.namespace,
        {str(each["metadata"]["name"]): each for each in kinds.get("Service", ())},
        tuple(kinds.get("Pod", ())),
        tuple(kinds.get("DestinationRule", ())),
        frozenset(str(host) for each in kinds.get("ServiceEntry", ()) for host in each.get("spec", {}).get("hosts", ())),
    )


def ready(pod: Mapping[str, Any]) -> bool:
    """Whether a pod takes requests."""
    return any(each["type"] == "Ready" and each["status"] == "True" for each in pod.get("status", {}).get("conditions", ()))


def troubles(around: Surroundings, virtual_service: Json) -> tuple[Trouble, ...]:
    """One Trouble for each wrong destination; those of weight 0 beside others are left out."""
    found: list[Trouble] = []
    for rule in virtual_service.get("spec", {}).get("http") or ():
        entries = rule.get("route") or ()
        for entry in entries:
            if len(entries) > 1 and not entry.get("weight"):
                continue
            trouble = next(_wrong(around, entry.get("destination") or {}), None)
            if trouble and trouble not in found:
                found.append(trouble)
    return tuple(found)


def _wrong(around: Surroundings, destination: Json) -> Iterator[Trouble]:
    host = str(destination.get("host", ""))
    name = around.service(host)
    if not name:
        if host not in around.external and not _elsewhere(host, around.namespace):
            known = ", ".join(sorted(around.services)) or "(none)"
            yield Trouble(
                "NC",
                f"the destination `{host}` is no Service of namespace {around.namespace}; there are {known}",
                "`destination: host:` is the name of a Service, spelled as `kubectl get services` shows it",
            )
        return
    yield from _wrong_port(around.services[name], name, destination)
    labels = dict(around.services[name].get("spec", {}).get("selector") or {})
    subset = str(destination.get("subset") or "")
    if subset:
        every = {str(each["name"]): each for rule in around.rules_for(name) for each in rule.get("spec", {}).get("subsets") or ()}
        if subset not in every:
            known = f"defined are {', '.join(sorted(every))}" if every else "there is none with subsets"
            yield Trouble(
                "NC",
                f"no DestinationRule for {name} defines the subset `{subset}`; {known}",
                f"a subset that no DestinationRule defines answers 503. Spell it as the DestinationRule of {name} does, or define it there",
            )
            return
        labels |= every[subset].get("labels") or {}
    yield from _without_pods(around, name, subset, labels)


def _wrong_port(service: Json, name: str, destination: Json) -> Iterator[Trouble]:
    ports = [int(each["port"]) for each in service.get("spec", {}).get("ports") or ()]
    wanted = (destination.get("port") or {}).get("number")
    if wanted is None and (len(ports) == 1 or HTTP in ports):
        return
    if wanted is None or int(wanted) not in ports:
        asked = f"port {wanted}" if wanted is not None else "no port"
        yield Trouble(
            "NC",
            f"the destination `{name}` names {asked}, and the Service has {', '.join(map(str, ports))}",
            f"name a port that the Service {name} has: `port: {{number: {ports[0] if ports else HTTP}}}`",
        )


def _without_pods(around: Surroundings, name: str, subset: str, labels: Mapping[str, Any]) -> Iterator[Trouble]:
    behind = around.behind(labels) if labels else around.pods
    if any(map(ready, behind)):
        return
    words = ", ".join(f"{key}={value}" for key, value in labels.items())
    where = f"subset {subset} of {name}" if subset else f"Service {name}"
    if behind:
        seen, hint = f"{where} has {len(behind)} pods, and none is ready", f"kubectl describe pods -l {words.replace(' ', '')}"
    else:
        seen = f"{where} has no pod: none carries the labels {words}"
        hint = (
            "`kubectl get pods --show-labels` shows what the pods carry. Has a Deployment `replicas: 0`, or is a label spelled otherwise?"
        )
    yield Trouble("UH", seen, hint)


def _elsewhere(host: str, namespace: str) -> bool:
    """Whether a host with dots may exist in another namespace, which is not read."""
    return host.endswith(".svc.cluster.local") and not host.endswith(f".{namespace}.svc.cluster.local")
