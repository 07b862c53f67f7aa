"""The exercises of chapter 0: one request through the gateway, and its line in the sidecar's log."""

from __future__ import annotations

import re
import time
from typing import Final

from meshcourse.checks import outcome
from meshcourse.checks.exercises import Exercise, Witness
from meshcourse.checks.outcome import Outcome
from meshcourse.measure.access_logs import Entry

HOST: Final = "start.example.com"
PATH: Final = "/status/418"
TEAPOT: Final = 418
LATE: Final = 1.5
"""Seconds after which every line is written: Envoy flushes once a second."""
NOT_FOUND: Final = 404
SIDECAR: Final = "deploy/hello"
_GATEWAY: Final = "deploy/istio-ingressgateway"
_ID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def a_teapot(witness: Witness) -> Outcome:
    """0.1: a request for /status/418 went through the gateway to the application."""
    began = _began(witness)
    if began is None:
        return _no_pod(witness)
    arrived, unknown, elsewhere = _requests(witness, began)
    if arrived:
        return outcome.passed(f"{HOST}{PATH} went through the gateway, and hello answered 418")
    expected = f"GET {PATH} for {HOST} reaches hello, which answers 418"
    if unknown:
        return outcome.not_yet(
            seen=f"the gateway had no rule for the host {unknown[-1]['authority']} and said 404 itself",
            expected=expected,
            hint=f'tell the gateway which host you mean: curl -H "Host: {HOST}" ...',
        )
    if elsewhere:
        return outcome.not_yet(
            seen=f"hello was asked for {elsewhere[-1]['path']} and answered {elsewhere[-1].code}",
            expected=expected,
            hint=f"the path is {PATH}",
        )
    return outcome.not_attempted(f"no request for {PATH} has been logged yet")


def _requests(witness: Witness, began: str) -> tuple[list[Entry], list[Entry], list[Entry]]:
    """(teapots, requests with 418 for hosts that the gateway does not know, requests to hello for other paths with 418 in them).

    Envoy keeps lines back for up to a second: where there is none yet, it is asked until that time is over.
    """
    ends = time.monotonic() + LATE
    while True:
        entries = witness.log(SIDECAR)
        stopped = witness.log(_GATEWAY, containing="418", namespace="istio-system")
        unknown = [entry for entry in stopped if entry["start_time"] >= began and entry.code == NOT_FOUND and "NR" in entry.flags]
        elsewhere = [entry for entry in entries if "418" in entry["path"] and not _teapots((entry,))]
        found = (_teapots(entries), unknown, elsewhere)
        if found[0] or time.monotonic() > ends:
            return found
        time.sleep(0.1)


def which_request(witness: Witness) -> Outcome:
    """0.2: the request id of a 418 in the sidecar's log."""
    answer = witness.answer("0.2").strip("\"' ").lower()
    if not answer:
        return outcome.not_attempted("there is no answer yet")
    if _began(witness) is None:
        return _no_pod(witness)
    entries = witness.log(SIDECAR)
    wanted = _teapots(entries)
    expected = f"the request id of a request for {PATH}"
    if not wanted:
        return outcome.not_yet(
            seen=f"no request for {PATH} is in the log of hello's sidecar", expected=expected, hint="do exercise 0.1 first"
        )
    if answer in {entry["request_id"] for entry in wanted}:
        return outcome.passed(f"the request with id {answer} was answered with 418")
    seen, hint = _what_it_is(answer, entries)
    return outcome.not_yet(seen=seen, expected=expected, hint=hint)


def _what_it_is(answer: str, entries: tuple[Entry, ...]) -> tuple[str, str]:
    """What a wrong answer to 0.2 is, and the hint for it."""
    other = next((entry for entry in entries if entry["request_id"] == answer), None)
    if other is not None:
        seen = f"that id belongs to {other['method']} {other['path']}, answered {other.code}"
        return seen, f'another line was newer: look for the right one with lab.explain_log("{PATH}", workload="hello")'
    if not _ID.fullmatch(answer):
        return f"{answer} is no request id", "it is the field request_id: 36 characters, five groups joined by hyphens"
    seen = f"{answer} is not in the log of hello's sidecar"
    return seen, "copy the whole id from one line, without the quotes around it; the pod's own log is meant, not an older pod's"


def _teapots(entries: tuple[Entry, ...]) -> list[Entry]:
    return [entry for entry in entries if entry.code == TEAPOT and entry["path"].partition("?")[0] == PATH and entry["authority"] == HOST]


def _began(witness: Witness) -> str | None:
    """When the newest pod of hello was made, in the form of a log's start_time; None when there is none."""
    times = [str(pod["metadata"]["creationTimestamp"]).removesuffix("Z") for pod in witness.objects("pods", selector="app=hello")]
    return max(times, default=None)


def _no_pod(witness: Witness) -> Outcome:
    return outcome.not_attempted(f"there is no pod of hello in namespace {witness.namespace}: run section 3 first")


EXERCISES: Final = (
    Exercise(
        "0.1",
        "A teapot",
        (
            "lab.request in section 3 showed a curl command that works. Two things in it are different for this exercise.",
            f"Without `-H 'Host: {HOST}'` the gateway does not know whom you mean.",
            f'curl -s -i -H "Host: {HOST}" "$INGRESS_URL{PATH}"',
        ),
        a_teapot,
    ),
    Exercise(
        "0.2",
        "Which request was it?",
        (
            f'lab.explain_log("{PATH}", workload="hello") shows the line. Which of its fields is it?',
            "The field is called request_id.",
            f'line = lab.explain_log("{PATH}", workload="hello"), then lab.answer("0.2", line["request_id"])',
        ),
        which_request,
    ),
)
