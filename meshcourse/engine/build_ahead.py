"""Compile the engine's programs while `make course` still installs Python packages: `python -m meshcourse.engine.build_ahead`.

It needs none of these packages but platformdirs, shows nothing, and is ended by the Makefile, or with its parent. What it has compiled by
then is in the build cache where `build.py` goes on; it publishes nothing. Where there is an engine, or no Go, it does nothing.
"""

from __future__ import annotations

import ctypes
import os
import signal

from meshcourse.core.errors import EngineError
from meshcourse.engine import binaries, toolchain

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Become `go build`, with no -o: programs are compiled, and not written."""
    target = binaries.built()
    if not binaries.missing():
        return
    try:
        go = toolchain.find()
    except EngineError:
        return
    work = target.with_name(f"{target.name}.building")
    environment = toolchain.of_a_build(os.environ, go, work)
    (work / "tmp").mkdir(parents=True, exist_ok=True)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    os.chdir(binaries.SOURCE)
    os.nice(5)  # pip is waited for
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    packages = [program.package for program in binaries.PROGRAMS]
    os.execve(go.go, [str(go.go), "build", *binaries.FLAGS, *packages], environment)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main()
