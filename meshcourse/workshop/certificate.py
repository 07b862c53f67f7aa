"""Certificates: a page for each learner, with what they have passed and when."""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import Final

from meshcourse.checks import chapters as registry
from meshcourse.course import chapters
from meshcourse.workshop.results import Results

_STYLE: Final = """
body { font: 16px/1.5 Georgia, serif; margin: 0; color: #000; background: #fff }
section { box-sizing: border-box; min-height: 95vh; padding: 3cm 2.5cm; text-align: center;
  break-after: page; border: 3px double #777; margin: 1cm }
h1 { font-weight: normal; letter-spacing: .06em } h2 { font-size: 30px; margin: .2em } ul { display: inline-block; text-align: left }
"""


def page(all_results: Iterable[Results]) -> str:
    """HTML, for everybody who has passed an exercise."""
    sections = "".join(map(_section, (each for each in all_results if each.record.passed)))
    body = sections or "<p>Nobody has passed an exercise yet.</p>"
    return f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Certificates</title><style>{_STYLE}</style>{body}</html>'


def _section(results: Results) -> str:
    lines = []
    for chapter in chapters.CHAPTERS.values():
        own = [number for number in registry.EXERCISES if int(number.partition(".")[0]) == chapter.number]
        done = [number for number in own if number in results.record.passed]
        if done:
            lines.append(f"<li>{html.escape(chapter.title)}: {len(done)} of {len(own)} exercises</li>")
    last = max(results.record.passed.values())
    return (
        f"<section><h1>Istio, learned by doing</h1><p>This is to say that</p><h2>{html.escape(results.user.name)}</h2>"
        f"<p>has passed {len(results.record.passed)} of the {len(registry.EXERCISES)} exercises, each judged on a running mesh:</p>"
        f"<ul>{''.join(lines)}</ul><p>{last:%Y-%m-%d}</p></section>"
    )
