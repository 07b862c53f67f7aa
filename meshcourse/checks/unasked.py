"""What the rules of a VirtualService do that the task does not ask for, read from the rules themselves.

Requests are samples: no number of them is sure to show a rule that is for one path, one method or one program only, or that treats one
request in a hundred otherwise.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from meshcourse.checks import outcome
from meshcourse.checks.outcome import Outcome
from meshcourse.core import settings
from meshcourse.core.json_types import Json

_ALIKE: Final = "the rule treats all the requests that the task names alike, and no others"
_HARMLESS: Final = frozenset({"name", "gateways", "ignoreUriCase", "port", "scheme", "authority"})
"""Parts of a `match` that leave nobody out whom the check would not miss; those that no request fits are found by `_never`."""
_EVERY_PATH: Final[tuple[Json, ...]] = ({"prefix": "/"}, {"regex": ".*"}, {"regex": "/.*"})


_RULE: Final = frozenset({"name", "match", "route", "fault"})
_LIMITS: Final = frozenset({"timeout", "retries"})
_DOES: Final[Mapping[str, str]] = {
    "timeout": "cuts off answers that take longer than its `timeout`",
    "retries": "tries requests again, by its `retries`",
    "mirror": "sends a copy of each request elsewhere, by its `mirror`",
    "mirrors": "sends a copy of each request elsewhere, by its `mirrors`",
    "headers": "changes headers, by its `headers` outside of `match`",
    "directResponse": "answers by itself, by its `directResponse`",
}


def found(  # noqa: PLR0913 - each is something that a task may ask for
    service: Json,
    *,
    headers: Collection[str] = (),
    paths: bool = False,
    faults: bool = False,
    splits: bool = False,
    limits: bool = False,
    answers: bool = False,
) -> Outcome | None:
    """The first thing of VirtualService `service` that nobody asked for; None when there is none.

    `headers` are those that the task names; `paths`, `faults`: whether its rules may be for single paths, or inject faults; `splits`:
    whether the rule for everybody else may divide its requests; `limits`: whether rules may have timeouts and retries; `answers`: whether
    they may answer by themselves.
    """
    allowed = _RULE | (_LIMITS if limits else frozenset()) | ({"directResponse"} if answers else set())
    for place, rule in enumerate(service.get("spec", {}).get("http") or (), 1):
        name = f"rule `{rule['name']}`" if rule.get("name") else f"rule number {place}"
        narrow = next(
            (each for match in rule.get("match") or () for each in (*_narrow(match, headers, paths), *_never(match, service))), ""
        )
        if narrow:
            named = " and ".join(f"header `{each}`" for each in headers)
            why = f"the task speaks of {named}" if named else "the task does not speak of it"
            hint = f"take {narrow} out of its `match`: other requests miss this rule, and {why}"
            return outcome.not_yet(seen=f"{name} is only for requests with a certain {narrow}", expected=_ALIKE, hint=hint)
        if rule.get("fault") and not faults:
            hint = "take the `fault` out: the task asks for none"
            return outcome.not_yet(seen=f"{name} injects a fault", expected="no request is delayed or aborted", hint=hint)
        entries = rule.get("route") or ()
        more = next(
            (
                key
                for each in (rule, *({"headers": each["headers"]} for each in entries if each.get("headers")))
                for key, value in each.items()
                if value and key not in allowed
            ),
            "",
        )
        if more:
            hint = f"take `{more}` out of the rule: the task does not ask for it. Is it left over from another exercise?"
            does = _DOES.get(more, f"has a `{more}`")
            return outcome.not_yet(seen=f"{name} {does}", expected="the rules do what the task says, and nothing else", hint=hint)
        targets = {_target(each) for each in entries if len(entries) == 1 or each.get("weight")}
        if len(targets) > 1 and not (splits and for_the_rest(rule)):
            hint = "one destination, without weights: here nobody is to be treated by chance"
            if splits:
                hint = "only the rule for everybody else divides its requests; this one needs one destination, without weights"
            seen = f"{name} divides its requests between {' and '.join(sorted(targets))}"
            return outcome.not_yet(seen=seen, expected=_ALIKE, hint=hint)
    return None


def for_the_rest(rule: Json) -> bool:
    """Whether a rule is for those whom no `headers` name: it has no `match`, or one of `withoutHeaders` alone."""
    return all(set(match) <= {"name", "withoutHeaders"} for match in rule.get("match") or ())


def also_for(service: Json, header: str, value: str) -> Outcome | None:
    """The rule that does for another value of `header` what the task asks for `value` alone; None when there is none.

    Values that stand in the rule are found (`exact`, or one of `a|b`); what a longer regex fits, only requests can show.
    """
    rules = list(service.get("spec", {}).get("http") or ())
    every = [(rule, _conditions(rule, header)) for rule in rules]
    wanted = next((_effect(rule) for rule, several in every if any(_fits(each, value) for each in several)), None)
    if wanted is None or wanted == _effect(rules[-1]):
        return None
    other = next(
        (one for rule, several in every if _effect(rule) == wanted for each in several for one in _values(each) if one != value), ""
    )
    if not other:
        return None
    hint = f"match the header's value and no other: `{header}: {{exact: {value}}}`"
    return outcome.not_yet(seen=f"the rule for `{header}: {value}` is for `{header}: {other}` too", expected=_ALIKE, hint=hint)


def _effect(rule: Json) -> Json:
    return {key: value for key, value in rule.items() if key not in {"name", "match"}}


def _conditions(rule: Json, header: str) -> list[Json]:
    """What the rule's matches say of one header."""
    every = ((match.get("headers") or {}).items() for match in rule.get("match") or ())
    return [condition for items in every for name, condition in items if str(name).lower() == header]


def _fits(condition: Json, value: str) -> bool:
    if "regex" in condition:
        with contextlib.suppress(re.error):
            return bool(re.fullmatch(str(condition["regex"]), value))
        return False
    return condition.get("exact") == value or value.startswith(str(condition.get("prefix") or "\0"))


def _values(condition: Json) -> Iterator[str]:
    """The plain values that a condition names."""
    if "exact" in condition:
        yield str(condition["exact"])
    pieces = str(condition.get("regex", "")).strip("^$()").split("|")
    yield from (each for each in pieces if re.fullmatch(r"[\w -]+", each) and _fits(condition, each))


def _narrow(match: Json, headers: Collection[str], paths: bool) -> Iterator[str]:  # noqa: FBT001 - as in `found`
    for key, value in match.items():
        if key in {"headers", "withoutHeaders"}:
            yield from (f"header `{name}`" for name in value if str(name).lower() not in headers)
        elif key == "uri":
            yield from () if paths or value in _EVERY_PATH else ("`uri`",)
        elif key not in _HARMLESS:
            yield f"`{key}`"


def _never(match: Json, service: Json) -> Iterator[str]:
    """Conditions that no plain request through a gateway fits."""
    spec = service.get("spec", {})
    if "mesh" in (spec.get("gateways") or ["mesh"]):
        return
    if match.get("port", settings.HTTP_PORT) != settings.HTTP_PORT:
        yield "`port`"
    if match.get("scheme", {}).get("exact", "http") != "http":
        yield "`scheme`"
    if match.get("authority", {}).get("exact", "") not in {"", *map(str, spec.get("hosts") or ())}:
        yield "`authority`"


def _target(entry: dict[str, Any]) -> str:
    destination = entry.get("destination") or {}
    return f"{destination.get('host', '')} {destination.get('subset', '')}".strip()
