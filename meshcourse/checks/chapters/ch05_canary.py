"""The exercises of chapter 5, canary releases, judged by the requests that the check sends itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from meshcourse.checks import outcome, reachability
from meshcourse.checks.exercises import Exercise, Witness
from meshcourse.checks.outcome import Outcome
from meshcourse.measure import binomial, tally
from meshcourse.measure.tally import Tally

SHOP: Final = "shop.example.com"
CLUB: Final = "club.example.com"
MANY: Final = 1000
FEW: Final = 200
EACH: Final = 40
_TEAM: Final = {"x-team": "internal"}
_PARTNER: Final = {"x-team": "partner"}
# Exercise 5.1 asks chance twice; each may cry wolf half as often, so that the exercise as a whole keeps its promise.
_ALARM: Final = binomial.FALSE_ALARM / 2


def failing(found: Tally, which: str) -> Outcome | None:
    """What failed requests mean, or None when all were answered."""
    if not found.failures:
        return None
    if not found.answered and all(not failure.isdigit() for failure in found.failures):
        return outcome.cannot_tell(f"no request got an HTTP answer: {found}", "kubectl get pods -n istio-system")
    hint = "look at the ingress gateway's access log: kubectl -n istio-system logs deploy/istio-ingressgateway --tail=3"
    if "503" in found.failures:
        hint = (
            "503 means that Envoy knows the route but has nobody to send to. Are `host: web` and the subset names spelled as in the "
            "DestinationRule, and do both versions have a ready pod (kubectl get pods)?"
        )
    elif "404" in found.failures:
        hint = "404 means that no rule fits. A rule without `match` at the end takes all requests that are left"
    return outcome.not_yet(seen=f"{which}: {found}", expected="every request is answered by v1 or v2", hint=hint)


def ship_to_a_fifth_and_the_team(witness: Witness) -> Outcome:
    """5.1: 20 % of everyone on v2, and all of `x-team: internal`."""
    found = reachability.service(witness, "shop", host=SHOP, gateway="web")
    if isinstance(found, Outcome):
        return found
    got: dict[str, Tally] = {}
    # The few come first: where nothing answers at all, that is said at once.
    for which, n, headers in (("x-team: internal", FEW, _TEAM), ("x-team: partner", FEW, _PARTNER), ("no header", MANY, {})):
        got[which] = witness.ask(n, host=SHOP, headers=headers)
        broken = failing(got[which], f"with {which}")
        if broken:
            return broken
    team, others, everyone = got.values()
    split = tally.share(everyone, "v2", 0.2, false_alarm=_ALARM)
    judged = (
        ("with no header", split, _split_hint(everyone)),
        ("with x-team: internal", tally.share(team, "v2", 1.0), _team_hint(team)),
        ("with x-team: partner", tally.share(others, "v2", 0.2, false_alarm=_ALARM), _OTHERS_HINT),
    )
    for which, finding, hint in judged:
        if not finding.ok:
            return outcome.not_yet(seen=f"{which}, {finding.seen}", expected=finding.expected, hint=hint, bound=finding.bound)
    return outcome.passed(f"{everyone}; with x-team: internal, {team}", bound=split.bound)


_OTHERS_HINT: Final = "match the header's value, not only its presence: `x-team: {exact: internal}`"


def _split_hint(everyone: Tally) -> str:
    def fits(wanted: float) -> bool:
        return tally.share(everyone, "v2", wanted).ok

    if fits(0.8):
        return "the weights are the wrong way round: v2 is the one that gets 20"
    if fits(1.0):
        return "everybody gets v2: is there a rule without `match` before the split, or a `weight` missing?"
    if fits(0.0):
        return "nobody but the team gets v2: the last rule needs two destinations with `weight: 80` and `weight: 20`"
    return "the weights in the last rule should be 80 for v1 and 20 for v2"


def _team_hint(team: Tally) -> str:
    if tally.share(team, "v2", 0.2).ok:
        return (
            "the team is treated like everyone: rules are tried from top to bottom and the first that fits decides, "
            "so the rule with `match` comes first"
        )
    if team.of("v2") == 0:
        return "the team's rule sends to v1: its destination needs `subset: v2`"
    return "the team's rule should have one destination only, `subset: v2`, without weights"


# What each visitor of the club sends, and who must answer. The order is the order of the hints.
_VISITORS: Final[tuple[tuple[str, Mapping[str, str], str, str], ...]] = (
    ("without a cookie", {}, "v1", "the last rule, without `match`, is for everybody else and sends to v1"),
    (
        "with the cookie beta=yes",
        {"cookie": "beta=yes"},
        "v2",
        "one rule needs `match: [{headers: {cookie: {regex: ...}}}]` and the destination `subset: v2`",
    ),
    (
        "with beta=yes between other cookies",
        {"cookie": "session=4711; beta=yes; theme=dark"},
        "v2",
        "a browser sends all its cookies in one header, so `exact` seldom fits: use a regex that allows others before and after",
    ),
    (
        "with the cookie alphabeta=yes",
        {"cookie": "alphabeta=yes"},
        "v1",
        "the regex takes too much: before `beta` there may only be the start, or `;` and a space: `(.*;\\s*)?beta=yes(;.*)?`",
    ),
    (
        "with the cookie beta=yesterday",
        {"cookie": "beta=yesterday"},
        "v1",
        "the regex takes too much: after `yes` there may only be the end or a `;`",
    ),
    (
        "with beta=yes and the header x-version: v1",
        {"cookie": "beta=yes", "x-version": "v1"},
        "v1",
        "the rule for x-version: v1 must come before the rule for the cookie: the first rule that fits decides",
    ),
)


def beta_testers_with_a_way_out(witness: Witness) -> Outcome:
    """5.2: the cookie beta=yes gives v2, unless the header x-version: v1 asks for the old page."""
    found = reachability.service(witness, "club", host=CLUB, gateway="web")
    if isinstance(found, Outcome):
        return found
    for who, headers, version, hint in _VISITORS:
        got = witness.ask(EACH, host=CLUB, headers=headers)
        broken = failing(got, who)
        if broken:
            return broken
        if got.of(version) != got.n:
            return outcome.not_yet(seen=f"{who}, {got}", expected=f"{version} answers all of them", hint=hint)
    return outcome.passed(f"all {len(_VISITORS)} kinds of visitors got the version that they should, {EACH} requests each")


EXERCISES: Final = (
    Exercise(
        "5.1",
        "Ship v2 to a fifth of everyone, and to the whole team",
        (
            (
                "Start from manifests/05_canary/08-virtualservice-header.yaml: it has the two rules that you need. "
                "Change the name to `shop` and the host to `shop.example.com`."
            ),
            "Rules are tried from top to bottom, and the first that fits decides. Which of the two must come first?",
            (
                "The first rule: `match: [{headers: {x-team: {exact: internal}}}]`, one destination, `subset: v2`. "
                "The second: no match, v1 with weight 80 and v2 with weight 20."
            ),
        ),
        ship_to_a_fifth_and_the_team,
    ),
    Exercise(
        "5.2",
        "Beta testers, with a way out",
        (
            "You need three rules: who wants v1 by header, who has the cookie, and everybody else. In which order?",
            "The cookie header holds all cookies at once: `session=4711; beta=yes; theme=dark`. `exact: beta=yes` does not fit that.",
            "Envoy's regex must fit the whole value. `(.*;\\s*)?` stands for other cookies before, `(;.*)?` for others after.",
            "From top to bottom: `x-version: {exact: v1}` to v1; `cookie: {regex: '(.*;\\s*)?beta=yes(;.*)?'}` to v2; no match, to v1.",
        ),
        beta_testers_with_a_way_out,
    ),
)
