"""Whether the chapter's own programs and Services are as its manifests have them, and Envoy as istiod configures it.

An exercise asks for rules of the mesh. Without this, another program that gives the expected answers, another label on a pod or an
EnvoyFilter would pass. Deployments and Services are compared by what their files say; what others add (a sidecar, replicas) does not count.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from meshcourse.checks import outcome
from meshcourse.checks.exercises import ClusterView, Exercise
from meshcourse.checks.outcome import Outcome
from meshcourse.core.json_types import Json

_KINDS: Final = "deployments.apps,services,configmaps,pods,envoyfilters.networking.istio.io,wasmplugins.extensions.istio.io"
INJECT: Final = "sidecar.istio.io/inject"
_BY_HAND: Final = ("EnvoyFilter", "WasmPlugin")
_EXPECTED: Final = "the chapter's programs and Services stay as they are, but for what the task names"


@dataclass(frozen=True)
class Given:
    """A manifest of the chapter: its path for kubectl, and its objects."""

    path: str
    objects: tuple[Json, ...]


def found(view: ClusterView, exercise: Exercise, given: Iterable[Given]) -> Outcome | None:
    """The first thing that was changed and is no rule of the mesh; None when there is none. Reads the chapter's namespace."""
    own = tuple(given)
    if not own or not (exercise.objects or exercise.needs):
        return None
    seen, hint = first(exercise, own, view.objects(_KINDS))
    return outcome.not_yet(seen=seen, expected=_EXPECTED, hint=hint) if seen else None


def first(exercise: Exercise, given: tuple[Given, ...], live: list[Json]) -> tuple[str, str]:
    """The first change, as (what is seen, what to do), from the objects of the namespace; two empty texts when there is none."""
    kinds = (_by_hand(live), _gone(given, live, exercise.needs), _changed(given, live, exercise.objects), _strays(given, live))
    return next((change for each in kinds if (change := next(each, None))), ("", ""))


def _by_hand(live: Iterable[Json]) -> Iterator[tuple[str, str]]:
    for each in live:
        kind, name = each["kind"], each["metadata"]["name"]
        if kind in _BY_HAND:
            hint = f"kubectl delete {kind.lower()} {name}: the task can be done without it, and it depends on Envoy's version"
            yield f"{kind} {name} changes what istiod tells Envoy", hint


def _gone(given: tuple[Given, ...], live: list[Json], needs: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Services that lead to the Deployments that the exercise needs, and do not exist."""
    labels = [
        each["spec"]["template"]["metadata"]["labels"].items()
        for manifest in given
        for each in manifest.objects
        if each["kind"] == "Deployment" and each["metadata"]["name"] in set(needs)
    ]
    there = set(map(_key, live))
    for manifest in given:
        for each in manifest.objects:
            leads = each["kind"] == "Service" and any((each["spec"].get("selector") or {}).items() <= one for one in labels)
            if leads and not each["metadata"].get("namespace") and _key(each) not in there:
                yield f"there is no Service {each['metadata']['name']}", f"kubectl apply -f {manifest.path}"


def _changed(given: tuple[Given, ...], live: list[Json], answers: Iterable[str]) -> Iterator[tuple[str, str]]:
    files: dict[tuple[str, str], list[tuple[str, Json]]] = {}
    for manifest in given:
        for each in manifest.objects:
            if not each["metadata"].get("namespace"):
                files.setdefault(_key(each), []).append((manifest.path, each))
    for each in live:
        known = files.get(_key(each), [])
        kind, name = _key(each)
        own = f"{kind.lower()}/{name}" in answers
        if known and not any(_as_given(wanted, each) and (own or _asks(wanted) == _asks(each)) for _, wanted in known):
            yield f"{kind} {name} is not what its file says", f"kubectl replace -f {known[0][0]}    # as it was"


def _key(found: Json) -> tuple[str, str]:
    return str(found["kind"]), str(found["metadata"]["name"])


def _asks(found: Json) -> str:
    """What a Deployment's pods say of a sidecar, by their label."""
    template = found["spec"].get("template") or {} if found["kind"] == "Deployment" else {}
    return str(((template.get("metadata") or {}).get("labels") or {}).get(INJECT, ""))


def _as_given(wanted: Json, live: Json) -> bool:
    match wanted["kind"]:
        case "Deployment":
            template = dict(wanted["spec"]["template"])
            labels = {"labels": (template.get("metadata") or {}).get("labels") or {}}
            return contains(live["spec"]["template"], {**template, "metadata": labels})
        case "Service":
            same = live["spec"].get("selector") == wanted["spec"].get("selector")
            return same and contains(live["spec"].get("ports") or [], wanted["spec"].get("ports") or [])
        case "ConfigMap":
            return bool(live.get("data") == wanted.get("data"))
    return True


def contains(live: Any, wanted: Any) -> bool:  # noqa: ANN401 - any part of an object
    """Whether all that `wanted` says is in `live`, which may say more: other fields, other entries of a list of objects."""
    if isinstance(wanted, dict):
        return isinstance(live, dict) and all(contains(live.get(key), value) for key, value in wanted.items())
    if isinstance(wanted, list) and wanted and isinstance(wanted[0], dict):
        return isinstance(live, list) and all(any(contains(each, one) for each in live) for one in wanted)
    return bool(live == wanted or (not live and not wanted))


def _strays(given: tuple[Given, ...], live: list[Json]) -> Iterator[tuple[str, str]]:
    """Pods that a Service of the chapter selects, and that none of its Deployments made."""
    every = [each for manifest in given for each in manifest.objects]
    makers = {name for kind, name in map(_key, every) if kind == "Deployment"}
    services = {_key(each) for each in every if each["kind"] == "Service"}
    selectors = {each["metadata"]["name"]: each["spec"].get("selector") for each in live if _key(each) in services}
    for pod in live:
        if pod["kind"] != "Pod" or pod["metadata"].get("deletionTimestamp") or _maker(pod) in makers:
            continue
        labels, name = (pod["metadata"].get("labels") or {}).items(), pod["metadata"]["name"]
        service = next((service for service, selector in selectors.items() if selector and selector.items() <= labels), "")
        if service:
            seen = f"pod {name} answers for the Service {service}, and none of the chapter's Deployments made it"
            hint = f"kubectl delete {f'deployment {_maker(pod)}' if _maker(pod) else f'pod {name}'}    # or was a label of a pod changed?"
            yield seen, hint


def _maker(pod: Json) -> str:
    """The Deployment that made a pod, by its ReplicaSet's name; empty when there is none."""
    owners = pod["metadata"].get("ownerReferences") or ()
    return next((str(each["name"]).rpartition("-")[0] for each in owners if each["kind"] == "ReplicaSet"), "")
