"""The engine as a wheel, for machines that should not build it.

The programs are static (CGO_ENABLED=0), so the platform tag asks for Linux and a processor and no C library in particular.
Source of the format: https://packaging.python.org/en/latest/specifications/binary-distribution-format/
"""

from __future__ import annotations

import base64
import hashlib
import platform
import zipfile
from pathlib import Path
from typing import Final

import meshcourse
from meshcourse.core import errors
from meshcourse.engine import binaries

PACKAGE: Final = "meshcourse_engine"

CODE: Final = '''"""Upstream programs for meshcourse: made by `meshcourse engine wheel`."""

from pathlib import Path

BIN = Path(__file__).parent / "bin"
KEY = "{key}"
'''

METADATA: Final = """Metadata-Version: 2.4
Name: meshcourse-engine
Version: {version}
Summary: The upstream programs of meshcourse's embedded cluster: {programs}
License-Expression: Apache-2.0 AND MIT
Requires-Python: >=3.11
"""

WHEEL: Final = """Wheel-Version: 1.0
Generator: meshcourse {version}
Root-Is-Purelib: false
Tag: py3-none-{tag}
"""

EPOCH: Final = (1980, 1, 1, 0, 0, 0)
"""The time of every file, so that the same programs give the same wheel."""


def platform_tag() -> str:
    """This machine's tag. Both C libraries: manylinux for Debian and similar, musllinux for Alpine."""
    machine = platform.machine()
    return f"manylinux_2_17_{machine}.musllinux_1_1_{machine}"


def tags(tag: str) -> list[str]:
    """A compressed tag set, one by one, as the WHEEL file wants them."""
    return tag.split(".")


def pack(
    home: Path, out: Path, *, key: str | None = None, names: tuple[str, ...] | None = None, version: str = meshcourse.__version__
) -> Path:
    """Write the wheel of the programs in `home` into `out`; returns its path. Raises EngineError when a program is missing."""
    names = names or (*(program.name for program in binaries.PROGRAMS), binaries.BOOTSTRAP)
    wanted = (*names, *((binaries.MANIFEST,) if (home / binaries.MANIFEST).is_file() else ()))
    absent = [name for name in wanted if not (home / name).is_file()]
    if absent:
        raise errors.EngineError(f"The engine in {home} lacks {', '.join(absent)}.", next="meshcourse engine build")
    tag, info = platform_tag(), f"{PACKAGE}-{version}.dist-info"
    path = out / f"{PACKAGE}-{version}-py3-none-{tag}.whl"
    partial = path.with_suffix(".partial")
    try:
        out.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
            record = [
                _add(archive, f"{PACKAGE}/bin/{name}", (home / name).read_bytes(), mode=(home / name).stat().st_mode) for name in wanted
            ]
            texts = {
                f"{PACKAGE}/__init__.py": CODE.format(key=key or binaries.key()),
                f"{info}/METADATA": METADATA.format(version=version, programs=", ".join(names)),
                f"{info}/WHEEL": WHEEL.format(version=version, tag="\nTag: py3-none-".join(tags(tag))),
            }
            record += [_add(archive, name, text.encode()) for name, text in texts.items()]
            record.append(f"{info}/RECORD,,")
            _add(archive, f"{info}/RECORD", ("\n".join(record) + "\n").encode())
        partial.replace(path)
    except OSError as error:
        raise errors.EngineError(
            f"The wheel {path} cannot be written.", why=str(error), next="meshcourse engine wheel --out /another/folder"
        ) from error
    finally:
        partial.unlink(missing_ok=True)
    return path


def _add(archive: zipfile.ZipFile, name: str, content: bytes, *, mode: int = 0o644) -> str:
    """Add a file; returns its line for RECORD."""
    entry = zipfile.ZipInfo(name, EPOCH)
    entry.external_attr = (mode & 0o777 | 0o100000) << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(entry, content)
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    return f"{name},sha256={digest},{len(content)}"
