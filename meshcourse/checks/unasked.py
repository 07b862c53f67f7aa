"""What the rules of a VirtualService do that the task does not ask for, read from the rules themselves.

Requests are samples: no number of them is sure to show a rule that is for one path, one method or one program only, or that treats one
request in a hundred otherwise.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, Final

from meshcourse.checks import outcome
from meshcourse.checks.outcome import Outcome
from meshcourse.core.json_types import Json

_ALIKE: Final = "the rule treats all the requests that the task names alike, and no others"
_HARMLESS: Final = frozenset({"name", "gateways", "ignoreUriCase", "port", "scheme", "authority"})
"""Parts of a `match` that leave nobody out whom the check would not miss."""
_EVERY_PATH: Final[tuple[Json, ...]] = ({"prefix": "/"}, {"regex": ".*"}, {"regex": "/.*"})


def found(
    service: Json, *, headers: Collection[str] = (), paths: bool = False, faults: bool = False, splits: bool = False
) -> Outcome | None:
    """The first thing of VirtualService `service` that nobody asked for; None when there is none.

    `headers` are those that the task names; `paths`, `faults`: whether its rules may be for single paths, or inject faults; `splits`:
    whether the last rule may divide its requests.
    """
    for place, rule in enumerate(service.get("spec", {}).get("http") or (), 1):
        name = f"rule `{rule['name']}`" if rule.get("name") else f"rule number {place}"
        narrow = next((each for match in rule.get("match") or () for each in _narrow(match, headers, paths)), "")
        if narrow:
            named = " and ".join(f"header `{each}`" for each in headers)
            why = f"the task speaks of {named}" if named else "the task does not speak of it"
            hint = f"take {narrow} out of its `match`: other requests miss this rule, and {why}"
            return outcome.not_yet(seen=f"{name} is only for requests with a certain {narrow}", expected=_ALIKE, hint=hint)
        if rule.get("fault") and not faults:
            hint = "take the `fault` out: the task asks for none"
            return outcome.not_yet(seen=f"{name} injects a fault", expected="no request is delayed or aborted", hint=hint)
        entries = rule.get("route") or ()
        targets = {_target(each) for each in entries if len(entries) == 1 or each.get("weight")}
        if len(targets) > 1 and not (splits and not rule.get("match")):
            hint = "one destination, without weights: here nobody is to be treated by chance"
            seen = f"{name} divides its requests between {' and '.join(sorted(targets))}"
            return outcome.not_yet(seen=seen, expected=_ALIKE, hint=hint)
    return None


def _narrow(match: Json, headers: Collection[str], paths: bool) -> Iterator[str]:  # noqa: FBT001 - as in `found`
    for key, value in match.items():
        if key in {"headers", "withoutHeaders"}:
            yield from (f"header `{name}`" for name in value if str(name).lower() not in headers)
        elif key == "uri":
            yield from () if paths or value in _EVERY_PATH else ("`uri`",)
        elif key not in _HARMLESS:
            yield f"`{key}`"


def _target(entry: dict[str, Any]) -> str:
    destination = entry.get("destination") or {}
    return f"{destination.get('host', '')} {destination.get('subset', '')}".strip()
