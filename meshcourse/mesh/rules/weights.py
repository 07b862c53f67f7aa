"""The weights of a VirtualService's route: reading them, and moving them without touching anything else.

Blocking; a few milliseconds.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from meshcourse.core import errors
from meshcourse.kube.connection import Connection
from meshcourse.mesh.rules.istio_object import Rule

_TRIES: Final = 12
_STEP_ASIDE: Final = 0.05


def read(connection: Connection, namespace: str, virtual_service: str, route: str | None = None) -> dict[str, int]:
    """The weight of each subset (of each host, where a destination names no subset), in the route's order.

    Raises MeshError when the route is not there and KubernetesError when the VirtualService is not, or nobody answers.
    """
    _, destinations = _find(Rule(connection, namespace, virtual_service).read(), virtual_service, route)
    return weights_of(destinations)


def write(
    connection: Connection, namespace: str, virtual_service: str, weights: Mapping[str, int], route: str | None = None
) -> dict[str, int]:
    """Give each subset its weight; subsets left out get 0. Returns the weights that the API server now holds.

    Refuses weights that do not sum to 100 (MeshError, nothing is sent). Raises KubernetesError, with its Status, when the API server or
    Istio's webhook refuses. Someone else's change of the route in between is taken in and the write tried again.
    """
    check(weights)
    rule = Rule(connection, namespace, virtual_service)
    for left in reversed(range(_TRIES)):
        number, destinations = _find(rule.read(), virtual_service, route)
        try:
            changed = rule.patch(patch(number, destinations, weights, virtual_service), "new weights")
        except errors.KubernetesError as refusal:
            if not left or not _outdated(refusal):
                raise
            time.sleep(random.uniform(0.0, _STEP_ASIDE))  # noqa: S311 - so that two writers do not keep meeting
        else:
            return weights_of(_find(changed, virtual_service, route)[1])
    raise AssertionError  # pragma: no cover - the last try returns or raises


def check(weights: Mapping[str, int]) -> None:
    """Raise MeshError unless `weights` are whole numbers from 0 that sum to 100."""
    shown = ", ".join(f"{subset} {weight}" for subset, weight in weights.items())
    if any(type(weight) is not int or weight < 0 for weight in weights.values()):
        raise errors.MeshError(f"Weights cannot be {shown}.", why="a weight is a whole number from 0 to 100", next="correct the weights")
    total = sum(weights.values())
    if total != 100:  # noqa: PLR2004 - per cent
        raise errors.MeshError(
            f"The weights {shown or 'of nothing'} do not sum to 100.", why=f"they sum to {total}", next="give weights such as v1 90, v2 10"
        )


def weights_of(destinations: list[dict[str, Any]]) -> dict[str, int]:
    """{subset: weight} of one http route. A single destination without a weight gets all of it, as Istio reads it."""
    alone = len(destinations) == 1
    found: dict[str, int] = {}
    for each in destinations:
        found[_name(each)] = found.get(_name(each), 0) + int(each.get("weight") or (100 if alone else 0))
    return found


def patch(number: int, destinations: list[dict[str, Any]], weights: Mapping[str, int], virtual_service: str) -> list[dict[str, Any]]:
    """The JSON patch for http route `number`: a test that it is unchanged, then each weight. Raises MeshError for a subset it lacks."""
    names = [_name(each) for each in destinations]
    unknown = sorted(set(weights) - set(names))
    if unknown:
        raise errors.MeshError(
            f"VirtualService {virtual_service} has no destination {', '.join(unknown)}.",
            why=f"the route's destinations are {', '.join(names)}",
            next=f"kubectl get virtualservice {virtual_service} -o yaml",
        )
    if len(set(names)) < len(names):
        raise errors.MeshError(
            f"VirtualService {virtual_service} names a destination twice.",
            why=", ".join(names),
            next=f"kubectl edit virtualservice {virtual_service}",
        )
    path = f"/spec/http/{number}/route"
    changes = [{"op": "add", "path": f"{path}/{index}/weight", "value": weights.get(name, 0)} for index, name in enumerate(names)]
    return [{"op": "test", "path": path, "value": destinations}, *changes]


def _name(destination: Mapping[str, Any]) -> str:
    where = destination.get("destination", {})
    return str(where.get("subset") or where.get("host", ""))


def _find(virtual_service: Mapping[str, Any], name: str, route: str | None) -> tuple[int, list[dict[str, Any]]]:
    """(number, destinations) of the http route that is meant."""
    http = list(virtual_service.get("spec", {}).get("http") or ())
    if route is not None:
        found = [number for number, each in enumerate(http) if each.get("name") == route or (not each.get("name") and str(number) == route)]
    else:
        found = [number for number, each in enumerate(http) if len(each.get("route") or ()) > 1]
        if not found and len(http) == 1:
            found = [0]
    if len(found) == 1 and http[found[0]].get("route"):
        return found[0], list(http[found[0]]["route"])
    known = ", ".join(str(each.get("name") or number) for number, each in enumerate(http)) or "none"
    if route is not None:
        what = f"VirtualService {name} has no http route {route!r} with destinations."
    else:
        what = f"VirtualService {name} has {'no' if not found else 'more than one'} http route that splits traffic."
    raise errors.MeshError(
        what, why=f"its http routes are: {known}", next=f"kubectl get virtualservice {name} -o yaml    # and name the route"
    )


def _outdated(refusal: errors.KubernetesError) -> bool:
    """Whether the patch's `test` failed, that is, the route has changed since it was read; only then is another try worth it.

    The API server says so with a 422 of one fixed sentence (its errors.NewGenericServerResponse); admission checks say why instead.
    """
    fixed = "server rejected our request due to an error in our request"
    return refusal.code == HTTPStatus.CONFLICT or (refusal.code == HTTPStatus.UNPROCESSABLE_ENTITY and fixed in refusal.why)
