"""How far a `go build -v` is, from its output and the programs that exist already. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

LIST_FORMAT: Final = '{{.ImportPath}} {{.Stale}}{{if not .DepOnly}} {{join .Deps ","}}{{end}}'
"""For `go list -deps -f`: a line for each package, and after each program its packages."""

LINKING: Final = 40
"""Linking one program takes about as long as compiling so many packages; only the progress bar uses it."""


@dataclass(frozen=True)
class Plan:
    """What a build has to do: `packages` to compile (those in the build cache are done), and those that each program needs."""

    packages: frozenset[str]
    programs: dict[str, frozenset[str]]


def plan(listing: str, programs: Iterable[tuple[str, str]]) -> Plan:
    """Read the output of `go list` in LIST_FORMAT. `programs`: (name, import path) pairs."""
    stale = set()
    needs: dict[str, frozenset[str]] = {}
    names = {path: name for name, path in programs}
    for line in listing.splitlines():
        path, _, rest = line.partition(" ")
        state, _, deps = rest.partition(" ")
        if state == "true":
            stale.add(path)
        if path in names:
            needs[names[path]] = frozenset((path, *deps.split(",")))
    return Plan(frozenset(stale), {name: needs.get(name, frozenset()) & stale for name in names.values()})


class Compilation:
    """The state of one build, updated line by line."""

    def __init__(self, plan: Plan) -> None:
        self._waiting = {name: set(packages) for name, packages in plan.programs.items()}
        self._packages = len(plan.packages)
        self._left = set(plan.packages)
        self.downloaded = 0
        self.linked: list[str] = []

    def line(self, text: str) -> None:
        """One line of `go build -v`: a package that is being compiled, or a module that is being downloaded."""
        if text.startswith("go: downloading "):
            self.downloaded += 1
        if text in self._left:
            self._left.discard(text)
            for packages in self._waiting.values():
                packages.discard(text)

    def appeared(self, names: Iterable[str]) -> list[str]:
        """Note which programs are finished; returns the new ones."""
        fresh = [name for name in names if name in self._waiting and name not in self.linked]
        self.linked += fresh
        return fresh

    @property
    def left(self) -> list[str]:
        """Programs that are not finished, the one with the fewest packages left first."""
        return sorted((name for name in self._waiting if name not in self.linked), key=lambda name: len(self._waiting[name]))

    @property
    def share(self) -> float:
        """The share of the work that is done, 0 to 1."""
        total = self._packages + LINKING * len(self._waiting)
        done = self._packages - len(self._left) + LINKING * len(self.linked)
        return done / total if total else 1.0

    def __str__(self) -> str:
        counts = f"{self._packages - len(self._left)} of {self._packages} packages, {len(self.linked)} of {len(self._waiting)} programs"
        left = self.left
        if not left:
            return counts
        packages = len(self._waiting[left[0]])
        return f"{counts}; {left[0]} {f'needs {packages} more' if packages else 'is being linked'}"
