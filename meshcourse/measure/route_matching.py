"""Why a request takes its route: a gateway's routes in the order in which Envoy tries them, each with the condition that is not met.

Envoy tries a virtual host's routes from the top, and takes the first whose conditions are all met (Envoy's documentation of
`config.route.v3.RouteMatch`). Its access log names the route that it took, which decides; why it did not take the others is not logged, so
that is computed here, with RE2, Envoy's own regular expressions. A condition that is unknown here gives "cannot tell", never a guess. Pure.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl

import re2

from meshcourse.core import settings
from meshcourse.core.json_types import JsonMapping
from meshcourse.measure.access_logs import Entry
from meshcourse.mesh.envoy import config_dump
from meshcourse.mesh.envoy.cluster_names import ClusterName
from meshcourse.mesh.envoy.config_dump import Route
from meshcourse.traffic.targets import Target

Judged = tuple[bool | None, str]
"""Whether a route's conditions are met (None: unknown), and why not."""


class Verdict(enum.Enum):
    """The result for a route."""

    TAKEN = "taken"
    PASSED_OVER = "passed over"
    NOT_ASKED = "not tried any more"
    CANNOT_TELL = "cannot tell"


@dataclass(frozen=True)
class Asked:
    """A request as Envoy sees it; names of headers are in lower case."""

    host: str
    path: str = "/"
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    scheme: str = "http"

    @classmethod
    def of(cls, target: Target) -> Asked:
        """The request that is sent to `target`."""
        headers = {name.lower(): value for name, value in target.sent_headers().items()}
        return cls(target.host or target.address, target.as_sent().raw_path_qs, target.method, headers)

    def header(self, name: str) -> str | None:
        """A header's value, or None. `:method`, `:path`, `:scheme` and `:authority` are headers to Envoy."""
        own = {":method": self.method, ":path": self.path, ":authority": self.host, "host": self.host, ":scheme": self.scheme}
        return own.get(name.lower(), self.headers.get(name.lower()))


@dataclass(frozen=True)
class Step:
    """One route: its VirtualService (empty: Istio's own), its name, and why it was not taken."""

    virtual_service: str
    name: str
    route: Route
    verdict: Verdict
    why: str = ""


def steps(held: Iterable[JsonMapping], asked: Asked, port: int = settings.HTTP_PORT, entry: Entry | None = None) -> tuple[Step, ...]:
    """Every route of the virtual host for the request's Host header; none when there is no such host (Envoy then answers 404).

    `held` are the gateway's tables, and `port` is the one that the request arrives at. With `entry`, the gateway's log line of the request,
    the route that it names is the one that was taken.
    """
    routes = list(_routes(held, asked.host, config_dump.tables(port)))
    judged = [_judged(route, asked) for route in routes]
    taken = _taken(judged) if entry is None else _logged(routes, judged, entry)
    unsure = next((number for number, (fits, _) in enumerate(judged) if fits is None), len(routes)) if entry is None else len(routes)
    made = []
    for number, (route, (fits, why)) in enumerate(zip(routes, judged, strict=True)):
        verdict = Verdict.PASSED_OVER
        if number == taken:
            verdict, why = Verdict.TAKEN, "" if fits else "the gateway's log names it"  # noqa: PLW2901 - told otherwise
        elif number == unsure:
            verdict = Verdict.CANNOT_TELL
        elif number > min(unsure, len(routes) if taken is None else taken):
            verdict, why = Verdict.NOT_ASKED, ""  # noqa: PLW2901 - nobody asked
        elif fits:
            why = "its conditions seem to be met, but the gateway's log names another"  # noqa: PLW2901 - told otherwise
        made.append(
            Step(config_dump.origin(route).rpartition("/")[2], str(route.get("name", "")), config_dump.from_envoy(route), verdict, why),
        )
    return tuple(made)


def taken(held: Iterable[JsonMapping], asked: Asked, port: int = settings.HTTP_PORT) -> JsonMapping | None:
    """The route, as Envoy has it, that takes a request; None where none does, or where that cannot be told."""
    routes = list(_routes(held, asked.host, config_dump.tables(port)))
    number = _taken([_judged(route, asked) for route in routes])
    return None if number is None else routes[number]


def _taken(judged: list[Judged]) -> int | None:
    """The first route that matches, if all before it are certain."""
    first = next((number for number, (fits, _) in enumerate(judged) if fits is not False), None)
    return first if first is not None and judged[first][0] else None


def _logged(routes: list[JsonMapping], judged: list[Judged], entry: Entry) -> int | None:
    """The route that the log line names. Several may have one name: then the first of them that matches, or may match."""
    if "NR" in entry.flags:
        return None
    named = [number for number, route in enumerate(routes) if (str(route.get("name", "")) or "-") == entry["route"]]
    for wanted in (True, None, False):
        for number in named:
            if judged[number][0] is wanted:
                return number
    return None


def fits(held: Iterable[Step], entry: Entry) -> bool:
    """Whether the routes held can have produced a log line: its route is among them, with its destination.

    They cannot when the rules changed while the request was under way.
    """
    if "NR" in entry.flags:
        return True
    name = ClusterName.parse(entry["upstream_cluster"])
    taken = [step for step in held if step.verdict is Verdict.TAKEN and (step.name or "-") == entry["route"]]
    shares = {(share.host, share.subset) for step in taken for share in step.route.shares}
    return bool(taken) and (not name.direction or not shares or (name.host, name.subset) in shares)


def _routes(held: Iterable[JsonMapping], host: str, tables: Iterable[str]) -> Iterable[JsonMapping]:
    by_name = {str(table.get("name", "")): table for table in held}
    table: JsonMapping = next((by_name[name] for name in tables if name in by_name), {})
    domains = {str(domain): virtual for virtual in table.get("virtualHosts", ()) for domain in virtual.get("domains", ())}
    wanted = host.lower()
    bare = wanted.partition(":")[0]
    wild = sorted((domain for domain in domains if domain.startswith("*") and bare.endswith(domain[1:])), key=len, reverse=True)
    found: JsonMapping = next((domains[name] for name in (wanted, bare, f"{bare}:*", *wild) if name in domains), {})
    return list(found.get("routes", ()))


def _judged(route: JsonMapping, asked: Asked) -> Judged:
    """The first condition that is not met decides; an unknown one matters only when all others are met."""
    match = route.get("match", {})
    unsure = ""
    for why in _complaints(match, asked):
        if not why.startswith(_UNKNOWN):
            return False, why
        unsure = unsure or why
    return (None, unsure) if unsure else (True, "")


_UNKNOWN: Final = "it depends on "
_KNOWN: Final = frozenset({"prefix", "path", "safeRegex", "pathSeparatedPrefix", "caseSensitive", "headers", "queryParameters"})


def _complaints(match: JsonMapping, asked: Asked) -> Iterator[str]:
    path, _, query = asked.path.partition("?")
    yield from _path(match, path)
    for header in match.get("headers", ()):
        held = asked.header(str(header["name"]))
        if held is None and header.get("treatMissingHeaderAsEmpty") and "stringMatch" in header:
            held = ""
        yield from _value(header, str(header["name"]), "header", held)
    given = dict(reversed(parse_qsl(query, keep_blank_values=True)))
    for parameter in match.get("queryParameters", ()):
        yield from _value(parameter, str(parameter["name"]), "query parameter", given.get(str(parameter["name"])))
    for key in sorted(set(match) - _KNOWN):
        yield f"{_UNKNOWN}{key}"


def _path(match: JsonMapping, path: str) -> Iterator[str]:
    if match.get("caseSensitive") is False and "safeRegex" not in match:
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


def _value(wanted: JsonMapping, name: str, what: str, held: str | None) -> Iterator[str]:
    """Why a condition on a header or a query parameter is not met; `held` is None where the request has none."""
    inverted = bool(wanted.get("invertMatch"))
    match = wanted.get("stringMatch")
    if not isinstance(match, Mapping):
        if set(wanted) - {"name", "presentMatch", "invertMatch", "treatMissingHeaderAsEmpty"}:
            yield f"{_UNKNOWN}{name} in a way that is not known here"
        elif (held is not None) is (bool(wanted.get("presentMatch", True)) is inverted):
            yield f"there is no {what} {name}" if held is None else f"there is a {what} {name}"
        return
    if held is None:  # Envoy: such a condition is not met, inverted or not
        yield f"there is no {what} {name}"
        return
    unmet = list(_text(match, name, held))
    if inverted and not any(why.startswith(_UNKNOWN) for why in unmet):
        unmet = [] if unmet else [f"{name} is {held or 'absent, which counts as empty'}, which is excluded"]
    yield from unmet


_KINDS: Final[Mapping[str, tuple[Callable[[str, str], bool], str]]] = {
    "exact": (str.__eq__, "is not"),
    "prefix": (str.startswith, "does not begin with"),
    "suffix": (str.endswith, "does not end with"),
    "contains": (str.__contains__, "does not contain"),
}


def _text(match: JsonMapping, name: str, held: str) -> Iterator[str]:
    if "safeRegex" in match:
        yield from _unfit(match["safeRegex"].get("regex", ""), f"{name}: {held}", held)
        return
    kind = next((kind for kind in _KINDS if kind in match), None)
    if kind is None:
        yield f"{_UNKNOWN}{name} in a way that is not known here"
        return
    holds, words = _KINDS[kind]
    value, have = str(match[kind]), held
    if match.get("ignoreCase"):
        value, have = value.lower(), have.lower()
    if not holds(have, value):
        yield f"{name}: {held} {words} {match[kind]}"


_QUIET: Final = re2.Options()
_QUIET.log_errors = False


def _unfit(pattern: str, what: str, value: str) -> Iterator[str]:
    """Envoy's regular expressions must match the whole value."""
    try:
        fits = re2.fullmatch(pattern, value, _QUIET)
    except re2.error:
        yield f"{_UNKNOWN}the regular expression {pattern}"
        return
    if not fits:
        yield f"{what} does not match {pattern} as a whole"
