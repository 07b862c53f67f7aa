"""A registry on a port of this machine, crane's own, and images made of this machine's programs to fill it with."""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from meshcourse.core.errors import EngineError
from meshcourse.engine import binaries
from meshcourse.engine.go_programs import CRANE
from meshcourse.node.images.host_python import loader


@dataclass
class Registry:
    """Its address, and how it is filled."""

    host: str
    process: subprocess.Popen[str]

    def crane(self, *words: str) -> str:
        """The output of crane."""
        return subprocess.run([str(CRANE.found()), *words], check=True, capture_output=True, text=True).stdout.strip()


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[Registry]:
    """The registry, with meshcourse's caches and state below `folder`.

    No other registry is reached: nothing listens on the proxy's port.
    """
    try:
        crane = CRANE.ensure()
    except EngineError as error:
        pytest.skip(f"neither crane nor Go is here: {error}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MESHCOURSE_ENGINE", str(binaries.home()))
        patch.setenv("PATH", f"{crane.parent}:{os.environ['PATH']}")
        patch.setenv("MESHCOURSE_CACHE", str(folder / "cache"))
        patch.setenv("MESHCOURSE_STATE", str(folder / "state"))
        patch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
        process = subprocess.Popen([crane, "registry", "serve", "--address", "127.0.0.1:0"], stderr=subprocess.PIPE, text=True)
        try:
            port = re.search(r"serving on port (\d+)", process.stderr.readline())  # type: ignore[union-attr]
            assert port is not None
            yield Registry(f"127.0.0.1:{port[1]}", process)
        finally:
            process.kill()
            process.wait()
            process.stderr.close()  # type: ignore[union-attr]


def with_libraries(program: Path) -> dict[str, Path]:
    """The loader and the libraries of a program of this machine, by their paths; nothing for a static one."""
    if (load := loader(program)) == program:
        return {}
    listed = subprocess.run([load, "--list", program], capture_output=True, text=True, check=True).stdout
    return {path: Path(path) for path in re.findall(r"=> (\S+) \(", listed)} | {str(load): load}


class Layer:
    """A layer that is being packed."""

    def __init__(self) -> None:
        self._packed = io.BytesIO()
        self._tar = tarfile.TarFile(fileobj=self._packed, mode="w")

    def add(self, name: str, content: bytes = b"", *, mode: int = 0o644, owner: int = 0, **more: Any) -> None:
        """One member; `more` are fields of its TarInfo."""
        member = tarfile.TarInfo(name.lstrip("/"))
        member.size, member.mode, member.uid, member.gid = len(content), mode, owner, owner
        for field, value in more.items():
            setattr(member, field, value)
        self._tar.addfile(member, io.BytesIO(content))

    def programs(self, parts: Mapping[str, Path]) -> None:
        """Executable files of this machine."""
        for name, path in parts.items():
            self.add(name, path.read_bytes(), mode=0o755)

    def link(self, name: str, to: str) -> None:
        """A symbolic link."""
        self.add(name, type=tarfile.SYMTYPE, linkname=to)

    def write(self, path: Path) -> str:
        """The whole archive's path, as crane wants it."""
        self._tar.close()
        path.write_bytes(self._packed.getvalue())
        return str(path)
