"""Weights that always sum to 100: how the others change when one slider moves."""

from __future__ import annotations

from collections.abc import Mapping

from meshcourse.core import errors

WHOLE = 100


def moved(weights: Mapping[str, int], version: str, weight: int) -> dict[str, int]:
    """`version` gets `weight` (limited to 0..100); the others share the rest in their old proportions, evenly where all were 0.

    A single version always has 100. Raises PanelError for an unknown version.
    """
    if version not in weights:
        raise errors.PanelError(
            f"There is no slider for {version}.", why=f"the route's versions are {', '.join(weights)}", next="name one of them"
        )
    others = [each for each in weights if each != version]
    if not others:
        return {version: WHOLE}
    weight = min(max(weight, 0), WHOLE)
    shared = split(WHOLE - weight, {each: weights[each] for each in others})
    return {each: weight if each == version else shared[each] for each in weights}


def split(total: int, proportions: Mapping[str, int]) -> dict[str, int]:
    """Divide `total` into integers in these proportions (largest remainders first; ties in order)."""
    parts = {each: max(0, part) for each, part in proportions.items()}
    if not any(parts.values()):
        parts = dict.fromkeys(parts, 1)
    all_parts = sum(parts.values())
    found = {each: total * part // all_parts for each, part in parts.items()}
    by_remainder = sorted(parts, key=lambda each: -(total * parts[each] % all_parts))
    for each in by_remainder[: total - sum(found.values())]:
        found[each] += 1
    return found


def presets(versions: tuple[str, ...]) -> tuple[tuple[str, dict[str, int]], ...]:
    """(button text, weights): a canary's steps for two versions; all of one, and even, for other numbers."""
    if len(versions) == 2:  # noqa: PLR2004 - the old and the new one
        old, new = versions
        return tuple((f"{WHOLE - part}/{part}", {old: WHOLE - part, new: part}) for part in (0, 10, 50, 100))
    only = tuple((f"all {each}", {other: WHOLE if other == each else 0 for other in versions}) for each in versions)
    return (*only, ("even", split(WHOLE, dict.fromkeys(versions, 1)))) if len(versions) > 1 else only
