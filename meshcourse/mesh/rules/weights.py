"""The weights of a VirtualService's route: reads them, and changes nothing else.

A route is chosen by its name, by its number from 0, or by default as the only one that splits traffic. Weights are relative: 900 and 100
are 90 % and 10 %. A write is a JSON patch of the weights alone, which applies only while the route is still as it was read. Blocking; a few
milliseconds.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any, Final

from meshcourse.core import errors
from meshcourse.kube.connection import Connection
from meshcourse.mesh.rules import listeners
from meshcourse.mesh.rules.istio_object import Rule
from meshcourse.mesh.rules.listeners import Listeners

_TRIES: Final = 12
_STEP_ASIDE: Final = 0.05
WHOLE: Final = 100


@dataclass(frozen=True)
class Destination:
    """One destination of a route. `name` is unique in the route: its subset, its host, or both."""

    name: str
    host: str
    """The full name."""
    subset: str
    port: int | None
    weight: int


@dataclass(frozen=True)
class Split:
    """One http route and its destinations. `route` is the route's name, or its number where it has none."""

    namespace: str
    virtual_service: str
    number: int
    route: str
    destinations: tuple[Destination, ...]
    root: tuple[str, str]
    """(namespace, name) of the VirtualService with the hosts and gateways: another one where this is a delegate."""
    listeners: Listeners = listeners.OPEN

    @property
    def weights(self) -> dict[str, int]:
        """The weight of each destination, as it is written."""
        return {each.name: each.weight for each in self.destinations}

    @property
    def percent(self) -> dict[str, float]:
        """The share of each destination, in per cent."""
        total = sum(each.weight for each in self.destinations)
        return {each.name: WHOLE * each.weight / total if total else 0.0 for each in self.destinations}

    @property
    def key(self) -> str:
        """The route's name for messages, unique where several VirtualServices are concerned."""
        return (
            self.route if (self.namespace, self.virtual_service) == self.root else f"{self.namespace}/{self.virtual_service}/{self.route}"
        )

    def weighing(self, weights: Mapping[str, int]) -> Split:
        """The same route with other weights; destinations left out get 0."""
        return replace(self, destinations=tuple(replace(each, weight=weights.get(each.name, 0)) for each in self.destinations))

    def __str__(self) -> str:
        return f"{self.key} ({', '.join(f'{name} {weight}' for name, weight in self.weights.items())})"


def read(connection: Connection, namespace: str, virtual_service: str, route: str | None = None) -> dict[str, int]:
    """The weight of each destination, in the route's order.

    Raises MeshError when the route does not exist, KubernetesError when the VirtualService does not exist or the API server does not
    answer.
    """
    return find(connection, namespace, virtual_service, route).weights


def write(
    connection: Connection, namespace: str, virtual_service: str, weights: Mapping[str, int], route: str | None = None
) -> dict[str, int]:
    """Set each destination's weight in per cent; those left out get 0. Returns the weights that the API server now holds.

    Raises MeshError, and sends nothing, when the weights do not sum to 100. Raises KubernetesError, with its Status, when the API server or
    Istio's webhook refuses. When the route was changed since it was read, it is read again and the write retried.
    """
    check(weights)
    return put(connection, find(connection, namespace, virtual_service, route), weights).weights


def find(connection: Connection, namespace: str, virtual_service: str, route: str | None = None) -> Split:
    """The chosen route. Raises MeshError, with a list of the routes, when the choice does not fit exactly one."""
    return chosen(splits(connection, namespace, virtual_service), virtual_service, route)


def splits(connection: Connection, namespace: str, virtual_service: str) -> tuple[Split, ...]:
    """The http routes with destinations, those of delegates included.

    Raises KubernetesError when the VirtualService does not exist or the API server does not answer.
    """
    rule = Rule(connection, namespace, virtual_service)
    whole = rule.read()
    found = listeners.of(connection, namespace, whole)
    return tuple(_splits(whole, connection, (namespace, virtual_service), found))


def _splits(whole: Mapping[str, Any], connection: Connection, root: tuple[str, str], found: Listeners) -> Iterator[Split]:
    for number, http in enumerate(whole.get("spec", {}).get("http") or ()):
        if http.get("route"):
            yield split_of(http, root, number, root, found)
        if delegate := http.get("delegate"):
            there = (str(delegate.get("namespace") or root[0]), str(delegate.get("name", "")))
            with contextlib.suppress(errors.KubernetesError):  # a delegate that does not exist yet routes nothing
                for inner, each in enumerate(Rule(connection, *there).read().get("spec", {}).get("http") or ()):
                    if each.get("route"):
                        yield split_of(each, there, inner, root, found)


def split_of(http: Mapping[str, Any], where: tuple[str, str], number: int, root: tuple[str, str], found: Listeners) -> Split:
    """One http route with destinations."""
    return Split(*where, number, str(http.get("name") or number), _destinations(http["route"], where[0]), root, found)


def chosen(found: tuple[Split, ...], virtual_service: str, route: str | None) -> Split:
    """The chosen route: by its name or number, or the only one that splits traffic, or the only one."""
    if route is None:
        several = [each for each in found if len(each.destinations) > 1]
        meant = several or (list(found) if len(found) == 1 else [])
        what = f"VirtualService {virtual_service} has {'more than one' if several else 'no'} http route that splits traffic."
    else:
        meant = [each for each in found if route in {each.route, each.key}]
        what = f"VirtualService {virtual_service} has no http route {route!r} with destinations."
    if len(meant) == 1:
        return meant[0]
    if not found:
        raise errors.MeshError(
            f"VirtualService {virtual_service} has no http route with destinations.",
            why="only such routes have weights that HTTP requests can show; tcp and tls routes, redirects and direct responses have none",
            next=f"kubectl get virtualservice {virtual_service} -o yaml",
        )
    known = ", ".join(each.key for each in found)
    raise errors.MeshError(
        what, why=f"its http routes are: {known}", next=f"kubectl get virtualservice {virtual_service} -o yaml    # and name the route"
    )


def check(weights: Mapping[str, int]) -> None:
    """Raise MeshError unless `weights` are whole numbers from 0 that sum to 100."""
    shown = ", ".join(f"{subset} {weight}" for subset, weight in weights.items())
    if any(type(weight) is not int or weight < 0 for weight in weights.values()):
        raise errors.MeshError(f"Weights cannot be {shown}.", why="a weight is a whole number from 0 to 100", next="correct the weights")
    total = sum(weights.values())
    if total != WHOLE:
        raise errors.MeshError(
            f"The weights {shown or 'of nothing'} do not sum to 100.", why=f"they sum to {total}", next="give weights such as v1 90, v2 10"
        )


def put(connection: Connection, split: Split, weights: Mapping[str, int]) -> Split:
    """Write relative weights to a route, as `write` does, and return the route as changed."""
    rule = Rule(connection, split.namespace, split.virtual_service)
    for left in reversed(range(_TRIES)):
        number, destinations = _same(rule.read(), split)
        if names(destinations) != list(split.weights) and set(weights) <= set(split.weights):
            check_names(weights, names(destinations), split.virtual_service)
            raise errors.MeshError(
                f"Route {split.key} of VirtualService {split.virtual_service} has other destinations now.",
                why=f"they are {', '.join(names(destinations))}; nothing was written",
                next="move one of the new sliders",
            )
        try:
            changed = rule.patch(patch(number, destinations, weights, split.virtual_service), "new weights")
        except errors.KubernetesError as refusal:
            if not left or not _outdated(refusal):
                raise
            time.sleep(random.uniform(0.0, _STEP_ASIDE * (_TRIES - left)))  # noqa: S311 - so that two writers do not keep meeting
        else:
            number, _ = _same(changed, split)
            where = (split.namespace, split.virtual_service)
            return split_of(changed["spec"]["http"][number], where, number, split.root, split.listeners)
    raise AssertionError  # pragma: no cover - the last try returns or raises


def _same(virtual_service: Mapping[str, Any], split: Split) -> tuple[int, list[dict[str, Any]]]:
    """(number, destinations) of the same route in the object as it is now."""
    http = list(virtual_service.get("spec", {}).get("http") or ())
    meant = [number for number, each in enumerate(http) if split.route == str(each.get("name") or number) and each.get("route")]
    if len(meant) == 1:
        return meant[0], list(http[meant[0]]["route"])
    known = ", ".join(str(each.get("name") or number) for number, each in enumerate(http)) or "none"
    raise errors.MeshError(
        f"VirtualService {split.virtual_service} has no http route {split.route!r} with destinations any more.",
        why=f"its http routes are: {known}",
        next=f"kubectl get virtualservice {split.virtual_service} -o yaml",
    )


def patch(number: int, destinations: list[dict[str, Any]], weights: Mapping[str, int], virtual_service: str) -> list[dict[str, Any]]:
    """The JSON patch for http route `number`: a test that it is unchanged, then each weight. Raises MeshError for an unknown subset."""
    every = names(destinations)
    check_names(weights, every, virtual_service)
    path = f"/spec/http/{number}/route"
    changes = [{"op": "add", "path": f"{path}/{index}/weight", "value": weights.get(name, 0)} for index, name in enumerate(every)]
    return [{"op": "test", "path": path, "value": destinations}, *changes]


def check_names(weights: Iterable[str], every: list[str], virtual_service: str) -> None:
    """Raise MeshError for a destination that is not one of the route's."""
    unknown = sorted(set(weights) - set(every))
    if unknown:
        raise errors.MeshError(
            f"VirtualService {virtual_service} has no destination {', '.join(unknown)}.",
            why=f"the route's destinations are {', '.join(every)}",
            next=f"kubectl get virtualservice {virtual_service} -o yaml",
        )


def names(destinations: Iterable[Mapping[str, Any]]) -> list[str]:
    """A unique name for each destination: its subset, or its host where it has none; more of both where that is not unique."""
    where = [each.get("destination") or {} for each in destinations]
    ways = [
        [str(each.get("subset") or _short(each)) for each in where],
        [f"{_short(each)} {each.get('subset') or ''}".strip() for each in where],
        [f"{each.get('host', '')} {each.get('subset') or ''} {(each.get('port') or {}).get('number', '')}".strip() for each in where],
    ]
    found = list(ways[0])
    for way in ways[1:]:
        often = Counter(found)
        found = [other if often[name] > 1 else name for name, other in zip(found, way, strict=True)]
    seen: Counter[str] = Counter()
    for index, name in enumerate(found):
        seen[name] += 1
        found[index] = name if seen[name] == 1 else f"{name} ({seen[name]})"
    return found


def _short(destination: Mapping[str, Any]) -> str:
    return str(destination.get("host", "")).removesuffix(".svc.cluster.local")


def _destinations(route: list[Mapping[str, Any]], namespace: str) -> tuple[Destination, ...]:
    """A single destination without a weight gets everything, as Istio reads it."""
    alone = len(route) == 1
    return tuple(
        Destination(
            name, full(str(where.get("host", "")), namespace), str(where.get("subset", "")), _port(where), _weight(each, alone=alone)
        )
        for name, each in zip(names(route), route, strict=True)
        for where in (each.get("destination") or {},)
    )


def _weight(entry: Mapping[str, Any], *, alone: bool) -> int:
    return int(entry.get("weight") or (WHOLE if alone else 0))


def _port(destination: Mapping[str, Any]) -> int | None:
    number = (destination.get("port") or {}).get("number")
    return None if number is None else int(number)


def full(host: str, namespace: str, domain: str = "cluster.local") -> str:
    """The full name of a host: Istio completes a name without a dot by the VirtualService's own namespace."""
    return host if "." in host else f"{host}.{namespace}.svc.{domain}"


def _outdated(refusal: errors.KubernetesError) -> bool:
    """Whether the patch's `test` failed, that is, the route has changed since it was read; only then is a retry useful.

    The API server reports this as a 422 with one fixed sentence (its errors.NewGenericServerResponse); admission errors give a reason
    instead.
    """
    fixed = "server rejected our request due to an error in our request"
    return refusal.code == HTTPStatus.CONFLICT or (refusal.code == HTTPStatus.UNPROCESSABLE_ENTITY and fixed in refusal.why)
