"""Calls that a check makes from pods, and the statuses that come back.

One `kubectl exec` for each caller, with all its URLs. `settle` repeats them until all is as expected: a policy takes about a second to
reach the proxies, and an open connection may carry one more request by the old rules.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from meshcourse.checks import outcome
from meshcourse.checks.exercises import ClusterView
from meshcourse.checks.outcome import Outcome
from meshcourse.core import errors
from meshcourse.core.json_types import Json

PATIENCE: Final = 6.0
PUSH: Final = 2.0
"""Seconds in which a policy reaches every proxy, with a margin."""
AGAIN: Final = 2
"""How often an expected result is checked again: an Envoy keeps a connection for each of its two workers and each pod it calls."""
REFUSED: Final = 0
FORBIDDEN: Final = 403


@dataclass(frozen=True)
class Call:
    """A call from Deployment `caller` (of the chapter's namespace, or of `namespace`) to `url`.

    `host` replaces the Host header; `through` is a `name:port` to connect to in place of the URL's.
    """

    caller: str
    url: str
    method: str = "GET"
    namespace: str = ""
    host: str = ""
    through: str = ""

    def __str__(self) -> str:
        return f"{self.method} {f'http://{self.host}/' if self.host else self.url} from {self.caller}"

    @property
    def arguments(self) -> str:
        """Arguments of curl besides `_CURL`."""
        words = ["-I"] if self.method == "HEAD" else ["-X", self.method] if self.method != "GET" else []
        words += ["-H", f"Host: {self.host}"] if self.host else []
        words += ["--connect-to", f"::{self.through}"] if self.through else []
        return shlex.join([*words, self.url])


# A function keeps the script short: an exec's command is part of its URL, and servers limit the length of a URL.
_CURL: Final = r"""c() { curl -so/dev/null -m3 -w'%{http_code}\n' "$@" || true; }"""


def answers(view: ClusterView, calls: Iterable[Call], *, times: int = 1) -> dict[Call, list[int]]:
    """Make all calls now, the whole list `times` times; each call's statuses. Raises KubernetesError when a caller does not exist."""
    found: dict[Call, list[int]] = {}
    by_caller: dict[tuple[str, str], list[Call]] = {}
    for call in calls:
        by_caller.setdefault((call.caller, call.namespace), []).append(call)
    for (caller, namespace), several in by_caller.items():
        script = "; ".join(f"c {call.arguments}" for call in several)
        script = f"{_CURL}; for turn in {' '.join(map(str, range(times)))}; do {script}; done"
        where = ["-n", namespace] if namespace else []
        done = view.run("kubectl", "exec", *where, f"deploy/{caller}", "--", "sh", "-c", script, timeout=60.0)
        codes = done.stdout.split()
        if done.code or len(codes) != times * len(several):
            raise errors.KubernetesError(
                f"Deployment {caller} cannot make calls.",
                why=done.complaint or "it printed nothing",
                next="kubectl apply -f manifests/09_beyond/01-shop.yaml -f manifests/09_beyond/02-outside.yaml",
            )
        found |= {call: [int(code) for code in codes[place :: len(several)]] for place, call in enumerate(several)}
    return found


def settle(view: ClusterView, expected: Mapping[Call, Collection[int]], *, patience: float = PATIENCE) -> dict[Call, int]:
    """Repeat the calls until each gets one of its expected statuses, or `patience` seconds have passed; returns the last statuses.

    An expected result must be the same a moment later, `AGAIN` times: it may be from before a policy arrived, or after half of it, and each
    open connection between two Envoys may carry one more request by the old rules. On a busy machine, where the calls themselves take long,
    the pause and the patience are longer.
    """
    began, good, took = time.monotonic(), 0, 0.0
    while True:
        asked = time.monotonic()
        every = answers(view, expected, times=AGAIN if good else 1)
        took = max(took, time.monotonic() - asked)
        found = {call: next((code for code in codes if code not in expected[call]), codes[0]) for call, codes in every.items()}
        good = good + 1 if all(found[call] in wanted for call, wanted in expected.items()) else 0
        if good > 1 or (not good and time.monotonic() > began + patience + 3 * took):
            return found
        time.sleep(max(PUSH, 3 * took) if good else 0.3)


def words(status: int) -> str:
    """`403`, or a text for no answer."""
    return str(status) if status else "no answer"


@dataclass(frozen=True)
class Rule:
    """One call, the statuses it may get, and the hint for other ones."""

    call: Call
    wanted: Collection[int]
    hint: Callable[[Json, int], str]


def judged(view: ClusterView, found: Json, rules: tuple[Rule, ...]) -> Outcome | None:
    """The Outcome for the first broken rule; None when all are kept."""
    got_by = settle(view, {rule.call: rule.wanted for rule in rules})
    for rule in rules:
        got = got_by[rule.call]
        if got not in rule.wanted:
            return outcome.not_yet(
                seen=f"{rule.call}: {words(got)}",
                expected=" or ".join(words(each) for each in sorted(rule.wanted, reverse=True)),
                hint=rule.hint(found, got),
            )
    return None


def always(text: str) -> Callable[[Json, int], str]:
    """A hint that does not depend on the result."""
    return lambda _found, _got: text
