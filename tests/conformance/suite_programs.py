"""Kubernetes' own test programs, built from the modules of engine/go.mod once per user and version.

What a stopped build has compiled stays, and the next one goes on from there; GOCACHE and GOMODCACHE, when set, are used and kept.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from meshcourse.core import paths, progress
from meshcourse.core.errors import EngineError
from meshcourse.engine import binaries, toolchain

BUILT: Final = {
    "ginkgo": "github.com/onsi/ginkgo/v2/ginkgo",
    "agnhost": "k8s.io/kubernetes/test/images/agnhost",
    "sample-apiserver": "k8s.io/sample-apiserver",
}
TESTS: Final = ("e2e.test", "k8s.io/kubernetes/test/e2e")
COPIED: Final = {
    "conformance.yaml": "test/conformance/testdata/conformance.yaml",
    **{name: f"test/images/agnhost/porter/{name}" for name in ("localhost.crt", "localhost.key")},
}
"""Files of the module k8s.io/kubernetes: the list of the conformance specs, and the certificate that the image agnhost holds."""
SPACE: Final = 9_000_000_000
_LIMIT: Final = 7200.0


def folder() -> Path:
    """Where the programs are put, built or not."""
    digest = hashlib.sha256()
    for file in ("go.mod", "go.sum"):
        digest.update((binaries.SOURCE / file).read_bytes())
    digest.update(repr((sorted(BUILT.items()), TESTS, sorted(COPIED), binaries.FLAGS, binaries.target())).encode())
    return paths.cache() / "conformance" / digest.hexdigest()[:16]


def ensure() -> Path:
    """The folder with every program, built first when it is not there. Raises EngineError."""
    target = folder()
    if not target.is_dir():
        _build(target)
    return target


def _build(target: Path) -> None:
    go, work = toolchain.find(), target.with_name(f"{target.name}.building")
    (work / "tmp").mkdir(parents=True, exist_ok=True)
    if (free := shutil.disk_usage(work).free) < SPACE:
        why = f"It needs {SPACE / 1e9:.0f} GB for a while and 0.3 GB after; {work.parent} has {free / 1e9:.1f} GB."
        raise EngineError(
            "There is too little room on the disk to build the conformance tests.", why=why, next="MESHCOURSE_CACHE=/a/larger/disk"
        )
    staging, source = work / "bin", work / "source"
    for each in (staging, source):
        each.mkdir(exist_ok=True)
    for name in ("go.mod", "go.sum"):
        shutil.copyfile(binaries.SOURCE / name, source / name)
    modules = Path(os.environ["GOMODCACHE"]) if os.environ.get("GOMODCACHE") else toolchain.module_cache(go)
    cache = Path(os.environ.get("GOCACHE") or work / "compiled")
    environment = toolchain.environment(os.environ, build_cache=cache, modules=modules, work=work)

    def run(what: str, words: list[str]) -> str:
        with progress.step(what):
            done = subprocess.run(
                [str(go.go), *words], env=dict(environment), cwd=source, capture_output=True, text=True, timeout=_LIMIT, check=False
            )
        if done.returncode:
            why = "\n  ".join(["go said:", *done.stderr.strip().splitlines()[-8:]])
            raise EngineError(f"{what} failed.", why=why, next="make conformance    # goes on where it stopped")
        return done.stdout

    for name, package in BUILT.items():
        if not (staging / name).is_file():
            run(f"Building {name}", ["build", "-mod=mod", *binaries.FLAGS, "-o", str(staging / name), package])
    name, package = TESTS
    if not (staging / name).is_file():
        words = ["test", "-mod=mod", *binaries.FLAGS, "-vet=off", "-c", "-o", str(staging / name), package]
        run(f"Building {name} (about twenty minutes on two cores)", words)
    kubernetes = json.loads(run("Looking for Kubernetes' sources", ["list", "-mod=mod", "-m", "-json", "k8s.io/kubernetes"]))["Dir"]
    for name, path in COPIED.items():
        shutil.copyfile(Path(kubernetes) / path, staging / name)
    shutil.rmtree(target, ignore_errors=True)
    staging.rename(target)
    shutil.rmtree(work, ignore_errors=True)


def versions() -> Mapping[str, str]:
    """The version of each module that a program is of."""
    required = {}
    for line in (binaries.SOURCE / "go.mod").read_text(encoding="utf-8").splitlines():
        words = line.replace("// indirect", "").split()
        if len(words) == 2 and words[1].startswith("v"):
            required[words[0]] = words[1]
    return {name: required.get(name, "") for name in ("k8s.io/kubernetes", "github.com/onsi/ginkgo/v2")}
