"""One file that installs the course and the hub without a network: a tar archive of wheels, the engine, the hub's proxy, checksums.

Its installer comes first in it, and says so when the file has been cut short or damaged.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from meshcourse.core.errors import CourseError
from meshcourse.engine import binaries, build
from meshcourse.engine import wheel as engine_wheel
from meshcourse.workshop import running

ROOT: Final = "meshcourse-workshop"
SUMS: Final = "SHA256SUMS"
EXTRAS: Final = "embedded,workshop"
INSTALLER: Final = f"""#!/bin/sh
# Installs meshcourse from this folder, without a network:  ./install [FOLDER]     (FOLDER: the new Python environment, ~/meshcourse)
set -eu
cd "$(dirname "$0")"
say() {{ printf '%s\\n' "$*" >&2; }}
if ! sha256sum --quiet --check {SUMS} >damage.txt 2>&1; then
    say '✘ The bundle is cut short or damaged:'; head -5 damage.txt >&2
    say '  Next: copy the file again and compare its size with the original'; exit 1
fi
rm -f damage.txt
target=${{1:-$HOME/meshcourse}}
python=${{PYTHON:-python3}}
"$python" -c 'from sys import *; least = (@MAJOR@, @MINOR@, @MICRO@)
exit(version_info[:2] != least[:2] or version_info < least)' || {{
    say '✘ Python @MAJOR@.@MINOR@.@MICRO@ is needed, or a later @MAJOR@.@MINOR@: the wheels in this bundle are for it.'
    say '  Next: PYTHON=/path/to/python ./install    # or make the bundle with the Python of this machine'; exit 1; }}
"$python" -m venv "$target" || {{ say '  Next: sudo apt install python3-venv    then ./install again'; exit 1; }}
pip="$target/bin/python -m pip --disable-pip-version-check"
$pip install --quiet --no-index --find-links wheels 'meshcourse[{EXTRAS}]' meshcourse-engine
cp -R proxy "$target/share/meshcourse/proxy"
ln -sf ../share/meshcourse/proxy/node_modules/.bin/{running.PROXY} "$target/bin/{running.PROXY}"
say "✔ installed. Next: $target/bin/meshcourse workshop preflight --hub"
"""


def make(checkout: Path, out: Path, scratch: Path, report: Callable[[str], None]) -> int:
    """Write the bundle to `out`; returns its bytes. `checkout` is the course's source. Raises CourseError when it cannot be made."""
    if not (checkout / "pyproject.toml").is_file():
        raise CourseError(
            "A bundle is made in a checkout of the course.", why=f"{checkout} has no pyproject.toml", next="git clone ... && make course"
        )
    wheels = scratch / "wheels"
    report("pip fetches the packages as wheels")
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--disable-pip-version-check",
        "wheel",
        "--quiet",
        "--wheel-dir",
        str(wheels),
        f"{checkout}[{EXTRAS}]",
    ]
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    if done.returncode:
        why = (done.stderr.strip().splitlines() or ["pip says nothing"])[-1]
        raise CourseError("The packages could not be fetched.", why=why, next=f"pip wheel '.[{EXTRAS}]'    # says more")
    report("the engine is packed")
    engine_wheel.pack(build.ensure(), wheels, key=binaries.key())
    program = Path(running.proxy(report)).absolute()
    modules = next((each for each in program.parents if each.name == "node_modules"), None)
    if modules is None:
        raise CourseError(
            f"{running.PROXY} is a program of this machine's.",
            why=f"{program} is in no folder node_modules",
            next=f"npm uninstall --global {running.PROXY}",
        )
    report("all is written into one file")
    parts = {f"wheels/{path.name}": path for path in sorted(wheels.iterdir())}
    parts |= {
        f"proxy/node_modules/{path.relative_to(modules)}": path
        for path in sorted(modules.rglob("*"))
        if path.is_file() or path.is_symlink()
    }
    write(out, parts, scratch)
    return out.stat().st_size


def write(out: Path, parts: Mapping[str, Path], scratch: Path) -> None:
    """Write `parts`, by their names in the bundle, to `out`: the installer and the checksums first, for a file that was cut."""
    sums = "".join(f"{_digest(path)}  {name}\n" for name, path in parts.items() if not path.is_symlink())
    major, minor, micro = sys.version_info[:3]
    installer = INSTALLER.replace("@MAJOR@", str(major)).replace("@MINOR@", str(minor)).replace("@MICRO@", str(micro))
    (scratch / "install").write_text(installer, encoding="utf-8")
    (scratch / "install").chmod(0o755)
    (scratch / SUMS).write_text(sums, encoding="utf-8")
    partial = out.with_name(f".{out.name}.partial")
    try:
        with tarfile.open(partial, "w") as archive:
            for name, path in {"install": scratch / "install", SUMS: scratch / SUMS, **parts}.items():
                archive.add(path, f"{ROOT}/{name}", recursive=False)
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
