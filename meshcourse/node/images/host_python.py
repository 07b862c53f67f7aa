"""A Python inside a container, for images whose programs are ours.

A container sees the host's /usr and not the learner's home, where such a Python often is. So the three things that an interpreter needs
(its executable, its standard library, its libpython) are mounted separately, under the paths that they have outside: a pyenv build finds
libpython by an absolute path. A Python with a loader of its own (Nix, Linuxbrew) cannot run that way; the host's is used instead.
"""

from __future__ import annotations

import os
import re
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from meshcourse.core.errors import MissingPrerequisite
from meshcourse.node.images.image import Program

LINKS: Final = ("/usr/local/bin/python3", "/usr/local/bin/python")
_SEEN: Final = ("/usr/", "/lib", "/bin/", "/sbin/")
_LOADER: Final = re.compile(rb"(/[\w./+-]+/ld[\w.+-]*\.so[\w.+-]*)\0")


@dataclass(frozen=True)
class Interpreter:
    """A Python: its executable, and the other files and folders that it needs."""

    executable: Path
    parts: tuple[Path, ...] = ()

    @classmethod
    def here(cls) -> Interpreter:
        """The Python that runs this, or the host's when this one cannot run in a container."""
        name = f"python{sysconfig.get_python_version()}"
        executable = Path(sys.base_prefix) / "bin" / name
        if not executable.is_file():
            executable = Path(sys.executable).resolve()
        if not _visible(loader(executable)):
            hosts = sorted(Path("/usr/bin").glob("python3.1[1-9]"), reverse=True)
            return cls(hosts[0] if hosts else Path("/usr/bin/python3"))
        return cls(executable, tuple(dict.fromkeys((*_libraries(), *_shared(executable)))))

    def programs(self) -> tuple[Program, ...]:
        """What to mount: nothing for a Python below /usr."""
        return tuple(_mounted(path) for path in (self.executable, *self.parts) if not _visible(path))

    def links(self) -> Mapping[str, str]:
        """The names under which the container finds it. Raises MissingPrerequisite when there is none."""
        if not self.executable.exists():
            raise MissingPrerequisite("The course's own images need a Python that runs in a container.", next="sudo apt install python3")
        return {link: str(self.executable) for link in LINKS if link != str(self.executable)}


def loader(executable: Path) -> Path:
    """The dynamic loader that an executable names, near its beginning; the executable itself when it names none."""
    with executable.open("rb") as file:
        found = _LOADER.search(file.read(8192))
    return Path(os.fsdecode(found[1])) if found else executable


def _libraries() -> list[Path]:
    """The folders of the standard library; its compiled part may be in a separate one (lib64)."""
    bases = {"installed_base": sys.base_prefix, "installed_platbase": sys.base_exec_prefix}
    bases |= {"base": sys.base_prefix, "platbase": sys.base_exec_prefix}
    return [path for name in ("stdlib", "platstdlib") if (path := Path(sysconfig.get_path(name, vars=bases))).is_dir()]


def _shared(executable: Path) -> list[Path]:
    """libpython, when the interpreter is linked with it."""
    if not sysconfig.get_config_var("Py_ENABLE_SHARED"):
        return []
    name = str(sysconfig.get_config_var("INSTSONAME"))
    folders = (executable.parent.parent / "lib", executable.parent.parent / "lib64", Path(str(sysconfig.get_config_var("LIBDIR"))))
    return [folder / name for folder in folders if (folder / name).is_file()][:1]


def _mounted(path: Path) -> Program:
    return Program(lambda: path, str(path))


def _visible(path: Path) -> bool:
    """Whether a container sees this path of the host in any case."""
    return str(path).startswith(_SEEN)


HERE: Final = Interpreter.here()
