"""What to change in a manifest that was refused, from the error text of the API server, Istio or the YAML parser.

Pure. For an unknown text the error stays as it was.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from meshcourse.core import errors

_GOT: Final = (
    r"\.(?P<field>[\w.\[\]/-]+): expected (?P<wanted>\w+)[^,]*, "
    r"got (?:&(?:value\.valueUnstructured)?\{(?:Value:)?)?(?P<value>[^}\n]*)"
)
_BARE: Final = "yes|no|on|off|true|false|y|n"
_DURATIONS: Final = re.compile(r"(?:timeout|time|delay|interval|duration)$", re.IGNORECASE)


def explained(error: errors.MeshcourseError, text: str) -> errors.MeshcourseError:
    """The same error, with the correction in its `next` when the text is known; `text` is the manifest."""
    found = cure(f"{error.what} {error.why}", text)
    if not found:
        return error
    if isinstance(error, errors.KubernetesError):
        return errors.KubernetesError(error.what, why=error.why, next=found, status=error.status)
    return type(error)(error.what, why=error.why, next=found)


def cure(words: str, text: str = "") -> str:
    """What to change, from the text of a refusal; empty when it is unknown."""
    for pattern, answer in _CURES:
        found = re.search(pattern, words)
        if found:
            return answer(found, text) if callable(answer) else answer
    return ""


def _leaf(field: str) -> str:
    return field.rpartition(".")[2].partition("[")[0]


def _of_another_type(found: re.Match[str], text: str) -> str:
    field, wanted, value = _leaf(found["field"]), found["wanted"], found["value"].strip()
    if wanted == "string" and value in {"true", "false"}:
        written = re.search(rf"{re.escape(field)}:\s*(?P<word>{_BARE})\b", text, re.IGNORECASE)
        word = written["word"] if written else value
        return f"YAML reads a bare {word} as true or false, and `{field}` needs text: write it in quotes, `{field}: '{word}'`"
    if wanted == "string" and re.fullmatch(r"-?[\d.]+(?:e[+-]?\d+)?", value):
        if _DURATIONS.search(field):
            return f"a time needs a unit: `{field}: {value}s` for seconds, or `ms`, `m`, `h`"
        return f"`{field}` needs text, and {value} is a number: write it in quotes, `{field}: '{value}'`"
    if field == "percentage":
        return "a percentage is written `percentage: {value: 10}`"
    number = re.search(rf"\b{re.escape(field)}:\s*['\"]?(?P<number>-?\d+)", text)
    return {
        "numeric": f"`{field}` needs a number alone, without quotes, unit or %: `{field}: {number['number'] if number else 1}`",
        "list": f"`{field}` is a list: each entry is on a line of its own and begins with `- `, or all are in brackets, `[...]`",
        "map": f"`{field}` has fields of its own: `{field}: {{...}}`, or indented lines below it",
    }.get(wanted, "")


def _no_such_field(found: re.Match[str], text: str) -> str:  # noqa: ARG001 - a cure
    path = re.sub(r"\[[^\]]*\]", "", found["field"]).strip(".")
    parent, _, leaf = path.rpartition(".")
    kind = found.groupdict().get("kind") or "virtualservice"
    where = f"kubectl explain {kind.lower()}.{parent}"
    return f"there is no field `{leaf}` there: is it spelled differently, or indented too far or too little? `{where}` lists the fields"


def _kind(found: re.Match[str], _text: str) -> str:
    right = next((kind for kind in _KINDS if kind.lower() == found["kind"].lower()), "")
    if right and right != found["kind"]:
        return f"capital and small letters count: `kind: {right}`"
    if right:
        return f"is the `apiVersion` of {right} right? `kubectl explain {right.lower()}` shows it"
    return ""


def _weights(_found: re.Match[str], _text: str) -> str:
    return "with several destinations each needs a `weight`, and at least one must be above 0: `weight: 50` and `weight: 50`, for example"


_KINDS: Final = (
    *("Gateway", "VirtualService", "DestinationRule", "ServiceEntry", "Sidecar", "PeerAuthentication", "AuthorizationPolicy"),
    *("Deployment", "Service", "ConfigMap", "Pod"),
)
_CURES: Final[tuple[tuple[str, str | Callable[[re.Match[str], str], str]], ...]] = (
    (_GOT, _of_another_type),
    (r'no matches for kind "(?P<kind>\w+)"', _kind),
    (r"Kind=(?P<kind>\w+)\): \.?(?P<field>[\w.\[\]/-]+): field not declared in schema", _no_such_field),
    (r'unknown field "(?P<field>[\w.\[\]/-]+)"', _no_such_field),
    (
        r"attempts are set to 0",
        "with `attempts: 0` leave out `retryOn` and `perTryTimeout`: `retries: {attempts: 0}`",
    ),
    (r"total destination weight = 0", _weights),
    (r"unknown escape character", "in double quotes YAML reads a backslash as an escape: put a regular expression in single quotes"),
    (
        r"(?:error parsing regexp|invalid regex|bad regex|missing argument to repetition)",
        "the regular expression is not valid for Envoy (RE2): `.*` means any text, a lone `*` does not",
    ),
    (
        r"(?:expected alphabetic or numeric character, but found|undefined alias)",
        "YAML reads a bare `*` as a reference: write it in quotes, '*'",
    ),
    (r"cannot start any token", "a value that begins with %, @, ` or a tab must be in quotes"),
    (r"mapping values are not allowed here", "a line is indented too far, or a text with `: ` in it needs quotes"),
    (
        r"(?:invalid duration|must be a valid duration|duration must be|time: (?:unknown unit|invalid duration|missing unit))",
        "a time is a number with a unit: `500ms`, `2s`, `1m`; it must be at least 1ms",
    ),
    (r"namespaces? \"[\w-]+\" not found", "the namespace was deleted: run the chapter's first cell again"),
    (r"percentage \S+ is (?:neither|not in range)|must be (?:in range|between) 0.*100", "a percentage is between 0 and 100"),
    (r"HTTP status \S+ is not in range", "an injected status is between 200 and 599"),
    (r"weight -\d+ < 0", "a weight is 0 or more"),
    (r"attempts cannot be negative", "`attempts` is 0 or more; 0 means no retries"),
    (
        r"is not a valid retryOn policy",
        "`retryOn` names conditions such as `5xx`, `gateway-error`, `reset`, `connect-failure`, or a status in quotes, '503'",
    ),
    (
        r"HTTP route, redirect or direct_response is required",
        "each rule needs a `route:` with a destination, indented as far as its `match:`",
    ),
    (r"a lowercase RFC 1123", "names have lowercase letters, digits and hyphens only"),
    (
        r"Unsupported value: \S+ supported values: (?P<values>[^\n]*)",
        lambda found, _text: f"use one of these words: {found['values']}",
    ),
    (r"failed calling webhook", "istiod does not answer, so nothing can be checked: kubectl get pods -n istio-system"),
    (r"field is immutable", "this field of an object cannot be changed: delete the object, then apply it again"),
)
