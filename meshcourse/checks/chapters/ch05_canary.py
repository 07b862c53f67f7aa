"""The exercises of chapter 5, canary releases, judged by the requests that the check sends itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from meshcourse.checks import diagnosis, outcome, reachability, unasked
from meshcourse.checks.diagnosis import Route
from meshcourse.checks.exercises import ClusterView, Exercise
from meshcourse.checks.outcome import Outcome
from meshcourse.core.json_types import Json
from meshcourse.measure import binomial, tally
from meshcourse.measure.tally import Tally

SHOP: Final = "shop.example.com"
CLUB: Final = "club.example.com"
FEW: Final = 200
OTHERS: Final = 60
"""With a fifth on v2, none or all of so many would be on v2 in one of 600,000 checks."""
EACH: Final = 24
FIFTH: Final = 0.2
NEAR: Final = 0.25
"""The nearest split that must not pass by chance; the rule's own weights distinguish nearer ones."""
EXACT: Final = 0.005
_TEAM: Final = {"x-team": "internal"}


def ship_to_a_fifth_and_the_team(view: ClusterView) -> Outcome:
    """5.1: 20 % of everyone on v2, and all of `x-team: internal`."""
    found = reachability.service(view, "shop", host=SHOP, gateway="web")
    if isinstance(found, Outcome):
        return found
    more = unasked.found(found, headers=("x-team",), splits=True) or unasked.also_for(found, "x-team", "internal")
    if more:
        return more
    route = Route(found, SHOP)
    team = view.ask(FEW, host=SHOP, headers=_TEAM)
    lost = diagnosis.failed(view, route, _codes(team), which="with x-team: internal", expected=_ANSWERED)
    if lost:
        return lost
    first = view.ask(FEW, host=SHOP)  # a few first: if nothing answers at all, that is reported at once
    lost = diagnosis.failed(view, route, _codes(first), which="with no header", expected=_ANSWERED)
    if lost:
        return lost
    trial = binomial.share_is(FIFTH, NEAR)
    everyone = view.ask(trial.n, host=SHOP)
    expected = f"v2 answers 20 %: {trial.low} to {trial.high} of {trial.n:,} requests, and none fails"
    if everyone.of("v2") not in trial or everyone.failures:
        return outcome.not_yet(seen=f"with no header, {everyone}", expected=expected, hint=_split_hint(everyone), bound=str(trial))
    if team.of("v2") != team.n:
        return outcome.not_yet(seen=f"with x-team: internal, {team}", expected="v2 answers all of them", hint=_team_hint(team))
    for value in ("partner", "internals", "not internal", "Internal"):
        others = view.ask(OTHERS, host=SHOP, headers={"x-team": value})
        if others.of("v2") in {0, OTHERS} or others.failures:
            return outcome.not_yet(seen=f"with x-team: {value}, {others}", expected="v2 answers 20 %, as for everyone", hint=_OTHERS_HINT)
    share = _share_by_rule(found)
    if share is not None and abs(share - FIFTH) > EXACT:
        hint = f"your rule gives v2 {share:.1%}, and 20 % is asked for: `weight: 80` and `weight: 20`"
        return outcome.not_yet(seen=f"with no header, {everyone}", expected=expected, hint=hint, bound=str(trial))
    return outcome.passed(f"{everyone}; with x-team: internal, {team}", bound=str(trial))


_ANSWERED: Final = "every request is answered by v1 or v2"


def _codes(found: Tally) -> dict[str, int]:
    """Counts by code, for diagnosis."""
    return {"200": found.answered, **found.failures}


def _share_by_rule(found: Json) -> float | None:
    """The share of v2 in the weights of the rule for everybody else; None when it is written in another way."""
    rest: Json = next(filter(unasked.for_the_rest, found.get("spec", {}).get("http") or ()), {})
    weights = [(str(each.get("destination", {}).get("subset", "")), int(each.get("weight") or 0)) for each in rest.get("route") or ()]
    total = sum(weight for _, weight in weights)
    if not total or any(subset not in {"v1", "v2"} for subset, _ in weights):
        return None
    return sum(weight for subset, weight in weights if subset == "v2") / total


_OTHERS_HINT: Final = "match the header's value, not only its presence: `x-team: {exact: internal}`"


def _split_hint(everyone: Tally) -> str:
    def fits(wanted: float) -> bool:
        return tally.share(everyone, "v2", wanted).ok

    if everyone.failures:
        return "a part of the requests fails: is every destination of the last rule right?"

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


_BEFORE: Final = "the regex takes too much: before `beta` there may only be the start, or `;` and a space: `(.*;\\s*)?beta=yes(;.*)?`"
_AFTER: Final = "the regex takes too much: after `yes` there may only be the end or a `;`"
_AMONG: Final = "a browser sends all its cookies in one header, so `exact` seldom fits: use a regex that allows others before and after"
# What each visitor of the club sends, and which version must answer. The order is the order of the hints.
_VISITORS: Final[tuple[tuple[str, Mapping[str, str], str, str], ...]] = (
    ("without a cookie", {}, "v1", "the last rule, without `match`, is for everybody else and sends to v1"),
    (
        "with the cookie beta=yes",
        {"cookie": "beta=yes"},
        "v2",
        "one rule needs `match: [{headers: {cookie: {regex: ...}}}]` and the destination `subset: v2`",
    ),
    ("with beta=yes between other cookies", {"cookie": "session=4711; beta=yes; theme=dark"}, "v2", _AMONG),
    ("with beta=yes after another cookie", {"cookie": "session=4711; beta=yes"}, "v2", _AMONG),
    ("with beta=yes before another cookie", {"cookie": "beta=yes; theme=dark"}, "v2", _AMONG),
    ("with the cookie alphabeta=yes", {"cookie": "alphabeta=yes"}, "v1", _BEFORE),
    ("with alphabeta=yes after another cookie", {"cookie": "theme=dark; alphabeta=yes"}, "v1", _BEFORE),
    ("with the cookie beta=yesterday", {"cookie": "beta=yesterday"}, "v1", _AFTER),
    ("with beta=yesterday before another cookie", {"cookie": "beta=yesterday; theme=dark"}, "v1", _AFTER),
    ("with the cookie alpha-beta=yes", {"cookie": "alpha-beta=yes"}, "v1", _BEFORE),
    ("with the cookie theme=beta=yes", {"cookie": "theme=beta=yes"}, "v1", _BEFORE),
    ("with the cookie beta=yes-later", {"cookie": "beta=yes-later"}, "v1", _AFTER),
    (
        "with the cookie Beta=Yes",
        {"cookie": "Beta=Yes"},
        "v1",
        "the regex takes too much: `(?i)` lets capitals in, and this cookie has none",
    ),
    ("with the cookie beta=no", {"cookie": "beta=no"}, "v1", "the regex takes too much: the cookie's value is `yes`, and no other"),
    (
        "with beta=yes and the header x-version: v1",
        {"cookie": "beta=yes", "x-version": "v1"},
        "v1",
        "the rule for x-version: v1 must come before the rule for the cookie: the first rule that fits decides",
    ),
    (
        "with beta=yes and the header x-version: v2",
        {"cookie": "beta=yes", "x-version": "v2"},
        "v2",
        "the way out is for `x-version: {exact: v1}`, not for every value of that header",
    ),
    (
        "with beta=yes and the header x-version: v10",
        {"cookie": "beta=yes", "x-version": "v10"},
        "v2",
        "the way out is for `x-version: {exact: v1}`, not for every value that begins so",
    ),
    ("with the header x-version: v2 and no cookie", {"x-version": "v2"}, "v1", "nobody gets v2 but who has the cookie"),
)


def beta_testers_with_a_way_out(view: ClusterView) -> Outcome:
    """5.2: the cookie beta=yes gives v2, unless the header x-version: v1 asks for the old page."""
    found = reachability.service(view, "club", host=CLUB, gateway="web")
    if isinstance(found, Outcome):
        return found
    more = unasked.found(found, headers=("x-version", "cookie"))
    if more:
        return more
    for who, headers, version, hint in _VISITORS:
        got = view.ask(EACH, host=CLUB, headers=headers)
        lost = diagnosis.failed(view, Route(found, CLUB), _codes(got), which=who, expected=_ANSWERED)
        if lost:
            return lost
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
        objects=("virtualservice/shop",),
        needs=("web-v1", "web-v2"),
        watches=6.0,
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
        objects=("virtualservice/club",),
        needs=("web-v1", "web-v2"),
    ),
)
