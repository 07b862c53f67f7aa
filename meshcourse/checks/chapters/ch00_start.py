"""The exercises of chapter 0: one request through the gateway, and its line in the sidecar's log."""

from __future__ import annotations

import datetime as dt
import re
import time
from dataclasses import dataclass
from typing import Final

from meshcourse.checks import outcome
from meshcourse.checks.exercises import ClusterView, Exercise
from meshcourse.checks.outcome import Outcome
from meshcourse.measure.access_logs import Entry

HOST: Final = "start.example.com"
PATH: Final = "/status/418"
TEAPOT: Final = 418
LATE: Final = 1.5
"""Seconds after which every log line is written: Envoy flushes once a second."""
NOT_FOUND: Final = 404
SIDECAR: Final = "deploy/hello"
_GATEWAY: Final = "deploy/istio-ingressgateway"
_ID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def a_teapot(view: ClusterView) -> Outcome:
    """0.1: a request for /status/418 went through the gateway to the application."""
    began = _began(view)
    if began is None:
        return _no_pod(view)
    found = _requests(view, began)
    if found.arrived:
        return outcome.passed(f"{HOST}{PATH} went through the gateway at {_clock(found.arrived[-1])}, and hello answered 418")
    expected = f"GET {PATH} for {HOST} comes through the gateway and reaches hello, which answers 418"
    newest = max((*found.unknown, *found.elsewhere, *found.around, *found.invented), key=lambda entry: entry["start_time"], default=None)
    if newest is None:
        return outcome.not_attempted(f"no request for {PATH} has come through the gateway yet (one that is sent inside a pod does not)")
    when = f"your newest try that Envoy saw, at {_clock(newest)}"
    if newest in found.around:
        return outcome.not_yet(
            seen=f"{when}: hello answered 418, but nothing of it came through the gateway",
            expected=expected,
            hint=f'send it to the gateway\'s address: curl -s -i -H "Host: {HOST}" "$INGRESS_URL{PATH}"',
        )
    if newest in found.invented:
        return outcome.not_yet(
            seen=f"{when}: the gateway answered {newest.code} itself, and hello was never asked",
            expected=expected,
            hint="a rule answers in place of hello: kubectl apply -f manifests/00_start/02-route.yaml",
        )
    if newest in found.unknown:
        return outcome.not_yet(
            seen=f"{when}: the gateway had no rule for the host {newest['authority']} and said 404 itself",
            expected=expected,
            hint=f'tell the gateway which host you mean: curl -H "Host: {HOST}" ...',
        )
    return outcome.not_yet(
        seen=f"{when}: hello was asked for {newest['path']} and answered {newest.code}",
        expected=expected,
        hint=f"the path is {PATH}",
    )


def _clock(entry: Entry) -> str:
    """The time of a log line, in the learner's time zone."""
    return f"{dt.datetime.fromisoformat(entry['start_time']).astimezone():%H:%M:%S}"


@dataclass(frozen=True)
class Requests:
    """What the two Envoys have logged since the pod started."""

    arrived: list[Entry]
    """Teapots that came through the gateway."""
    around: list[Entry]
    """Teapots in the log of hello's sidecar that are not in the gateway's."""
    unknown: list[Entry]
    """Requests for hosts without a route at the gateway."""
    elsewhere: list[Entry]
    """Requests to hello for other paths with 418 in them."""
    invented: list[Entry]
    """Requests for the path that the gateway answered itself, by a rule."""


def _requests(view: ClusterView, began: str) -> Requests:
    """Envoy writes its log up to a second late: without a teapot, the log is read again until that time has passed."""
    ends = time.monotonic() + LATE
    while True:
        entries = view.log(SIDECAR)
        passed_on = [each for each in view.log(_GATEWAY, containing="418", namespace="istio-system") if each["start_time"] >= began]
        through = {each["request_id"] for each in passed_on}
        teapots = _teapots(entries)
        found = Requests(
            [each for each in teapots if each["request_id"] in through],
            [each for each in entries if each.code == TEAPOT and each["request_id"] not in through],
            [each for each in passed_on if each.code == NOT_FOUND and "NR" in each.flags and "418" in each["path"]],
            [each for each in entries if "418" in each["path"] and each.code != TEAPOT],
            [each for each in passed_on if each.code == TEAPOT and each["code_details"] != "via_upstream"],
        )
        if found.arrived or time.monotonic() > ends:
            return found
        time.sleep(0.1)


def which_request(view: ClusterView) -> Outcome:
    """0.2: the request id of a 418 in the sidecar's log."""
    answer = view.answer("0.2").strip("\"' ").lower()
    if not answer:
        return outcome.not_attempted("there is no answer yet")
    if _began(view) is None:
        return _no_pod(view)
    entries = view.log(SIDECAR)
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
    """The kind of a wrong answer to 0.2, and the hint for it."""
    whole = next((entry for entry in entries if entry["request_id"] in answer and entry["request_id"] != answer), None)
    if whole is not None:
        return "that is more than the request id: the id is one part of it", 'add `["request_id"]` to what lab.explain_log returned'
    other = next((entry for entry in entries if entry["request_id"] == answer), None)
    if other is not None:
        seen = f"that id belongs to {other['method']} {other['path']}, answered {other.code}"
        if other.code == TEAPOT and _host(other) != HOST:
            return f"{seen}, for the host {other['authority']}", "that request did not come through the gateway; exercise 0.1's did"
        return seen, f'another line was newer: look for the right one with lab.explain_log("{PATH}", workload="hello")'
    if not _ID.fullmatch(answer):
        return f"{answer[:60]} is no request id", "it is the field request_id: 36 characters, five groups joined by hyphens"
    seen = f"{answer} is not in the log of hello's sidecar"
    return seen, "copy the whole id from one line, without the quotes around it; the pod's own log is meant, not an older pod's"


def _teapots(entries: tuple[Entry, ...]) -> list[Entry]:
    return [entry for entry in entries if entry.code == TEAPOT and entry["path"].partition("?")[0] == PATH and _host(entry) == HOST]


def _host(entry: Entry) -> str:
    """The host that was asked for, without the port that `curl --resolve` sends along."""
    return entry["authority"].partition(":")[0]


def _began(view: ClusterView) -> str | None:
    """The creation time of hello's newest pod, in the form of a log's start_time; None when there is none."""
    times = [str(pod["metadata"]["creationTimestamp"]).removesuffix("Z") for pod in view.objects("pods", selector="app=hello")]
    return max(times, default=None)


def _no_pod(view: ClusterView) -> Outcome:
    return outcome.not_attempted(f"there is no pod of hello in namespace {view.namespace}: run section 3 first")


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
        needs=("hello",),
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
