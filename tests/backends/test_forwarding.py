"""The process that forwards a port: one per folder, whoever starts it and however many at once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from meshcourse.backends import forwarding


def test_two_who_start_it_at_once_start_one_and_neither_waits_for_its_end(tmp_path: Path) -> None:
    together = threading.Barrier(2)

    def start(home: Path, port: int) -> None:
        together.wait()
        forwarding.start(home, port)

    for turn in range(5):
        home, port = tmp_path / str(turn), forwarding.free_port()
        with ThreadPoolExecutor(2) as several:
            try:
                for each in [several.submit(start, home, port) for _ in range(2)]:
                    each.result(timeout=20)
                assert forwarding.runs(home)
            finally:
                assert forwarding.stop(home)
        assert not forwarding.runs(home)
