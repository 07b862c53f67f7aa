"""`make wrong-answers`: all wrong answers, or those of some exercises (`5.1 8`), judged on a real mesh, and the figures.

On the cluster that MESHCOURSE_CLUSTER names, else on one that is started for it; several chapters at a time, each in a process of its own,
but chapter 1 before all others: it counts every Envoy of the mesh. Ends with 1 when a wrong answer passes, when a right one does not, or
when fewer than 95 % of the hints are those that were meant.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import multiprocessing
import os
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from wrong_answers import answers, stages
from wrong_answers.answers import Answer

from meshcourse.authoring import clusters
from meshcourse.checks import display
from meshcourse.checks.outcome import Outcome

GOAL = 0.95
JOBS = 4
"""Chapters at a time: a check waits more than it computes."""
ALONE = 1
"""The chapter that shares its cluster with no other: it counts every Envoy. Chapter 2, which has one of its own, may run beside it."""


@dataclass(frozen=True)
class Tried:
    """One answer and its result; `trouble` is why it could not be tried."""

    answer: Answer
    found: Outcome | None
    seconds: float
    trouble: str = ""

    @property
    def card(self) -> str:
        return display.plain(self.found) if self.found else self.trouble

    @property
    def passed(self) -> bool:
        return self.found is not None and self.found.passed

    @property
    def meant(self) -> bool:
        """Whether the card has the expected text."""
        words = f"{self.found.note} {self.found.seen} {self.found.hint}" if self.found else ""
        return bool(self.found and self.found.verdict is self.answer.verdict and self.answer.hint in words)


def tried(stage: stages.Stage, answer: Answer) -> Tried:
    """Give one answer, judge it, and put everything back."""
    began = time.monotonic()
    try:
        found, trouble = stage.judged(answer), ""
        seconds = time.monotonic() - began
    except Exception as error:  # noqa: BLE001 - one answer that cannot be tried must not end the rest
        found, trouble, seconds = None, f"{type(error).__name__}: {error}", time.monotonic() - began
    try:
        stage.again(answer)
    except Exception as error:  # noqa: BLE001 - as above
        trouble = f"{trouble} afterwards {type(error).__name__}: {error}"
    return Tried(answer, found, seconds, trouble)


def _chosen(numbers: list[str]) -> list[Answer]:
    every = [*answers.right(), *answers.wrong()]
    wanted = [each for each in every if not numbers or each.number in numbers or str(each.chapter) in numbers]
    return sorted(wanted, key=lambda each: (not each.untried, _place(each)))


def _place(answer: Answer) -> tuple[int, ...]:
    return tuple(map(int, answer.number.split(".")))


def show(all_tried: Iterable[Tried]) -> int:
    """Print the figures; the exit code."""
    every = list(all_tried)
    wrong = [each for each in every if each.answer.verdict.value != "passed"]
    right = [each for each in every if each.answer.verdict.value == "passed"]
    print(f"\n{'exercise':<10}{'wrong':>7}{'passed':>8}{'hint meant':>12}{'right':>7}{'passed':>8}{'slowest':>9}")
    for number in dict.fromkeys(each.answer.number for each in every):
        bad, good = ([each for each in part if each.answer.number == number] for part in (wrong, right))
        slow = max(each.seconds for each in every if each.answer.number == number)
        meant = sum(each.meant for each in bad)
        print(
            f"{number:<10}{len(bad):>7}{sum(each.passed for each in bad):>8}{meant:>12}{len(good):>7}"
            f"{sum(each.passed for each in good):>8}{slow:>8.1f}s"
        )
    passed, meant = sum(each.passed for each in wrong), sum(each.meant for each in wrong)
    share = meant / len(wrong) if wrong else 1.0
    print(f"\n{len(wrong)} wrong answers: {passed} pass that should not; {meant} hints ({share:.1%}) are the one that was meant")
    print(f"{len(right)} right answers: {sum(each.meant for each in right)} pass and say what they should")
    return int(bool(passed) or share < GOAL or not all(each.passed for each in right))


def _chapter(cluster: str, chapter: int, chosen: list[Answer]) -> list[Tried]:
    """One chapter's answers, one after the other; for a process of its own."""
    with stages.opened(clusters.running(cluster).connection, chapter) as stage:
        return [_told(tried(stage, answer)) for answer in chosen]


def _told(result: Tried) -> Tried:
    lines = [f"{'✔' if result.meant else '✘'} {result.answer} ({result.seconds:.1f} s)"]
    if not result.meant or result.trouble:
        lines += [f"    meant: {result.answer.verdict.value}: {result.answer.hint}", f"    {result.card}", f"    {result.trouble}"]
    print("\n".join(lines), flush=True)
    return result


def _all(cluster: str, chosen: list[Answer], jobs: int) -> Iterator[Tried]:
    """Chapters with many answers first, so that no long one is left for the end."""
    parts = [[each for each in chosen if each.chapter == chapter] for chapter in dict.fromkeys(each.chapter for each in chosen)]
    parts.sort(key=lambda part: (part[0].chapter != ALONE, part[0].chapter != stages.BARE, -len(part)))
    with concurrent.futures.ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        begun: list[concurrent.futures.Future[list[Tried]]] = []
        for part in parts:
            if part[0].chapter not in {ALONE, stages.BARE}:
                concurrent.futures.wait(begun[:1] if parts[0][0].chapter == ALONE else ())
            begun.append(pool.submit(_chapter, cluster, part[0].chapter, part))
        for done in begun:
            yield from done.result()


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("numbers", nargs="*", help="exercises or chapters, such as 5.1 or 8; all without")
    parser.add_argument("--right", action="store_true", help="the right answers alone")
    parser.add_argument("--untried", action="store_true", help="those alone that nobody has seen judged yet")
    parser.add_argument("--tenth", type=int, help="a tenth of all answers, 0 to 9, as `make test` tries them")
    parser.add_argument("--jobs", type=int, default=JOBS, help="chapters at a time")
    given = parser.parse_args()
    chosen = [each for each in _chosen(given.numbers) if not given.right or each.verdict.value == "passed"]
    chosen = [each for each in chosen if each.untried or not given.untried]
    chosen = [each for each in chosen if given.tenth is None or each in answers.tenth(given.tenth)]
    with contextlib.ExitStack() as ends:
        named = os.environ.get("MESHCOURSE_CLUSTER") or ends.enter_context(clusters.new(1, print))[0].environment["MESHCOURSE_CLUSTER"]
        return show(sorted(_all(named, chosen, given.jobs), key=lambda each: _place(each.answer)))


if __name__ == "__main__":
    sys.exit(main())
