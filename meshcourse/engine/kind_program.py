"""The program `kind`: the one on PATH, else built from its Go module into the user's cache.

Comes in: PATH and a Go toolchain. Goes out: its path. Who runs it: backends/kind.py. It is no part of the engine: its module has versions
of its own, and an embedded cluster never needs it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

from meshcourse.core import paths, progress
from meshcourse.core.errors import EngineError
from meshcourse.engine import toolchain

MODULE: Final = "sigs.k8s.io/kind"
VERSION: Final = "v0.33.0"
_LIMIT: Final = 900.0


def found() -> Path | None:
    """Where it is, or None when it would have to be built."""
    on_path = shutil.which("kind")
    ours = built()
    return Path(on_path) if on_path else ours if ours.is_file() else None


def built() -> Path:
    """Where `ensure` puts it, whether or not it is there yet."""
    return paths.cache() / "kind" / VERSION / "kind"


def ensure() -> Path:
    """The program, built first when there is none. Raises EngineError."""
    return found() or build()


def build() -> Path:
    """Build it by `go install`, as kind documents; it appears whole or not at all. Raises EngineError."""
    go, target = toolchain.find(), built()
    staging = target.parent.with_name(f"{VERSION}.building")
    staging.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "GOBIN": str(staging), "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": "-trimpath", "GOWORK": "off"}
    with progress.step(f"Building kind {VERSION}"):
        words = [str(go.go), "install", f"{MODULE}@{VERSION}"]
        done = subprocess.run(words, env=environment, cwd=staging, capture_output=True, text=True, timeout=_LIMIT, check=False)
    if done.returncode:
        raise EngineError(
            "kind could not be built.",
            why="\n  ".join(["go said:", *done.stderr.splitlines()[-8:]]),
            next=f"go install {MODULE}@{VERSION}    # or https://kind.sigs.k8s.io/docs/user/quick-start/",
        )
    shutil.rmtree(target.parent, ignore_errors=True)
    staging.rename(target.parent)
    return target
