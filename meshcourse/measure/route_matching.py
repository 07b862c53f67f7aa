"""Why a request goes where it goes: a gateway's routes in the order in which Envoy tries them, each with the condition that was not met.

Envoy tries a virtual host's routes from the top, and the first whose conditions are all met decides (Envoy's documentation of
`config.route.v3.RouteMatch`); it says nowhere why it passed the others over, so that is worked out here. A condition that this file does
not know makes its route "cannot tell", never a guess.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from meshcourse.core import settings
from meshcourse.mesh.envoy import config_dump
from meshcourse.mesh.envoy.config_dump import Route

Json = Mapping[str, Any]


class Verdict(enum.Enum):
    """What became of a route."""

    TAKEN = "taken"
    PASSED_OVER = "passed over"
    NOT_ASKED = "not asked any more"
    CANNOT_TELL = "cannot tell"


@dataclass(frozen=True)
class Asked:
    """A request as Envoy sees it; names of headers are in lower case."""

    host: str
    path: str = "/"
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)

    def header(self, name: str) -> str | None:
        """A header's value, or None. `:method`, `:path` and `:authority` are headers to Envoy."""
        return {":method": self.method, ":path": self.path, ":authority": self.host}.get(name.lower(), self.headers.get(name.lower()))


@dataclass(frozen=True)
class Step:
    """One route: of which VirtualService (empty: Istio's own), under which name, and why it was not taken."""

    virtual_service: str
    name: str
    route: Route
    verdict: Verdict
    why: str = ""


def steps(held: Iterable[Json], asked: Asked, port: int = settings.HTTP_PORT) -> tuple[Step, ...]:
    """Every route of the virtual host that the request's Host header leads to; nothing when there is none (Envoy then says 404).

    `held` are the gateway's tables, and `port` is the one that the request comes in by.
    """
    made: list[Step] = []
    for route in _routes(held, asked.host, config_dump.tables(port)):
        over = any(step.verdict in (Verdict.TAKEN, Verdict.CANNOT_TELL) for step in made)
        verdict, why = (Verdict.NOT_ASKED, "") if over else _judged(route, asked)
        source = config_dump.origin(route).rpartition("/")[2]
        made.append(Step(source, str(route.get("name", "")), config_dump.from_envoy(route), verdict, why))
    return tuple(made)


def _routes(held: Iterable[Json], host: str, names: Iterable[str]) -> Iterable[Json]:
    by_name = {str(table.get("name", "")): table for table in held}
    table: Json = next((by_name[name] for name in names if name in by_name), {})
    domains = {str(domain): virtual for virtual in table.get("virtualHosts", ()) for domain in virtual.get("domains", ())}
    wanted = host.lower()
    bare = wanted.partition(":")[0]
    wild = sorted((domain for domain in domains if domain.startswith("*") and bare.endswith(domain[1:])), key=len, reverse=True)
    found: Json = next((domains[name] for name in (wanted, bare, f"{bare}:*", *wild) if name in domains), {})
    return list(found.get("routes", ()))


def _judged(route: Json, asked: Asked) -> tuple[Verdict, str]:
    match = route.get("match", {})
    unknown = sorted(set(match) - {"prefix", "path", "safeRegex", "pathSeparatedPrefix", "caseSensitive", "headers"})
    if unknown:
        return Verdict.CANNOT_TELL, f"it depends on {', '.join(unknown)}"
    for why in (
        *_path(match, asked.path.partition("?")[0]),
        *(each for header in match.get("headers", ()) for each in _header(header, asked)),
    ):
        return (Verdict.CANNOT_TELL if why.startswith("it depends") else Verdict.PASSED_OVER), why
    return Verdict.TAKEN, ""


def _path(match: Json, path: str) -> Iterator[str]:
    if match.get("caseSensitive") is False:
        path = path.lower()
        match = {name: value.lower() if isinstance(value, str) else value for name, value in match.items()}
    if "path" in match and path != match["path"]:
        yield f"the path {path} is not {match['path']}"
    if "prefix" in match and not path.startswith(match["prefix"]):
        yield f"the path {path} does not begin with {match['prefix']}"
    if "pathSeparatedPrefix" in match and not f"{path}/".startswith(f"{match['pathSeparatedPrefix']}/"):
        yield f"the path {path} is not below {match['pathSeparatedPrefix']}"
    if "safeRegex" in match:
        yield from _unfit(match["safeRegex"].get("regex", ""), f"the path {path}", path)


def _header(wanted: Json, asked: Asked) -> Iterator[str]:
    name, held = str(wanted["name"]), asked.header(str(wanted["name"]))
    unmet = list(_compared(wanted, name, held))
    if wanted.get("invertMatch") and not any(why.startswith("it depends") for why in unmet):
        unmet = [] if unmet else [f"{name} is {held}, which is excluded"]
    yield from unmet


def _compared(wanted: Json, name: str, held: str | None) -> Iterator[str]:
    if "presentMatch" in wanted:
        if (held is not None) is not bool(wanted["presentMatch"]):
            yield f"there is no header {name}" if held is None else f"there is a header {name}"
        return
    match = wanted.get("stringMatch")
    if not isinstance(match, Mapping):
        yield f"it depends on {name} in a way that is not known here"
        return
    if held is None:
        yield f"there is no header {name}"
        return
    yield from _text(match, name, held)


_KINDS: Final[Mapping[str, tuple[Callable[[str, str], bool], str]]] = {
    "exact": (str.__eq__, "is not"),
    "prefix": (str.startswith, "does not begin with"),
    "suffix": (str.endswith, "does not end with"),
    "contains": (str.__contains__, "does not contain"),
}


def _text(match: Json, name: str, held: str) -> Iterator[str]:
    if "safeRegex" in match:
        yield from _unfit(match["safeRegex"].get("regex", ""), f"{name}: {held}", held)
        return
    kind = next((kind for kind in _KINDS if kind in match), None)
    if kind is None:
        yield f"it depends on {name} in a way that is not known here"
        return
    holds, words = _KINDS[kind]
    value, have = str(match[kind]), held
    if match.get("ignoreCase"):
        value, have = value.lower(), have.lower()
    if not holds(have, value):
        yield f"{name}: {held} {words} {match[kind]}"


def _unfit(pattern: str, what: str, value: str) -> Iterator[str]:
    """Envoy's regular expressions (RE2) must fit the whole value; Python's know all that RE2 knows but for a few classes' names."""
    try:
        fits = re.fullmatch(pattern, value)
    except re.error:
        yield f"it depends on the regular expression {pattern}"
        return
    if not fits:
        yield f"{what} does not fit {pattern} as a whole"
