"""Supervises the hub: a program that starts it again whenever it ends, until SIGTERM. Learners' sandboxes are not its children."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Final

from meshcourse.core import files
from meshcourse.workshop import record

FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 15.0
STAYS: Final = 30.0
"""Seconds after which a hub that ran counts as healthy: the next pause is short again."""


def words() -> list[str]:
    """The hub."""
    return [sys.executable, "-m", "jupyterhub", "-f", str(Path(__file__).with_name("hub_config.py"))]


def main() -> None:
    """Hold the lock and run the hub."""
    folder = record.folder()
    lock = files.claim(folder / "supervisor.lock")
    os.ftruncate(lock, 0)
    os.write(lock, str(os.getpid()).encode())
    stopping = False
    hub: subprocess.Popen[bytes] | None = None

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True
        if hub is not None:
            hub.terminate()

    signal.signal(signal.SIGTERM, stop)
    pause = FIRST_PAUSE
    while not stopping:
        began = time.monotonic()
        with (folder / "logs" / "hub.log").open("ab") as log:
            hub = subprocess.Popen(words(), stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=folder)
        hub.wait()
        pause = FIRST_PAUSE if time.monotonic() - began > STAYS else min(LONGEST_PAUSE, pause * 2)
        if not stopping:
            time.sleep(pause)


if __name__ == "__main__":
    main()
