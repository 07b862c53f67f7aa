"""Progress of long steps: a live bar in a terminal, plain lines in a log."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

console = Console(stderr=True, highlight=False)


class Step:
    """One running step. `update` changes its text and the share that is done (0 to 1)."""

    def __init__(self, progress: Progress | None, task: int | None, name: str) -> None:
        self._progress = progress
        self._task = task
        self.name = name

    def update(self, text: str | None = None, share: float | None = None) -> None:
        """Show `text` after the step's name, and the bar at `share`."""
        if self._progress is None or self._task is None:
            return
        description = f"{self.name}: {text}" if text else self.name
        if share is None:
            self._progress.update(self._task, description=description)  # type: ignore[arg-type]
        else:
            self._progress.update(self._task, description=description, total=1.0, completed=share)  # type: ignore[arg-type]


@contextmanager
def step(name: str) -> Iterator[Step]:
    """Show `name` while the block runs, and how long it took at the end."""
    started = time.monotonic()
    if console.is_terminal:
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=24), TimeElapsedColumn())
        with Progress(*columns, console=console, transient=True) as progress:
            yield Step(progress, progress.add_task(name, total=None), name)
    else:
        console.print(f"  {name} [dim]...[/dim]", soft_wrap=True)
        yield Step(None, None, name)
    console.print(f"[green]✔[/green] {name} [dim]{time.monotonic() - started:.1f} s[/dim]")
