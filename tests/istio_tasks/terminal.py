"""A terminal in Istio's own folder, as its pages want it: plain kubectl and istioctl in bash, `samples/...` below the working directory."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from waiting import until


@dataclass(frozen=True)
class Terminal:
    """Where commands are typed: `folder` holds Istio's samples, `kubeconfig` names the namespace that is the current one."""

    folder: Path
    environment: Mapping[str, str]
    namespace: str

    def type(self, script: str, *, check: bool = True, seconds: float = 120) -> str:
        """Run bash commands; both outputs, as a person sees them. A failure fails the test, unless `check` is False."""
        words = ["bash", "-o", "pipefail", "-c", script]
        done = subprocess.run(
            words,
            cwd=self.folder,
            env=dict(self.environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds,
            check=False,
        )
        if check and done.returncode:
            pytest.fail(f"{script}\nended with {done.returncode}:\n{done.stdout}")
        return done.stdout

    def shows(self, script: str, expected: str | Callable[[str], object], within: float = 40) -> None:
        """Repeat it until it prints what the page documents, as a person does while a rule is being pushed."""
        last = ""

        def look() -> bool:
            nonlocal last
            last = self.type(script, check=False)
            return bool(expected(last) if callable(expected) else expected in last)

        try:
            until(look, within)
        except pytest.fail.Exception:
            pytest.fail(f"{script}\nwas to print {expected!r} within {within:g} s, and printed last:\n{last}")

    def ready(self, seconds: int = 90) -> None:
        """All Deployments of the namespace have rolled out, and all their pods are ready."""
        self.type(f"kubectl wait --for=condition=Available deployment --all --timeout={seconds}s", seconds=seconds + 10)
        self.type(f"kubectl wait --for=condition=Ready pod --all --timeout={seconds}s", seconds=seconds + 10)

    def within(self, **environment: str) -> Terminal:
        """The same with more variables."""
        return replace(self, environment={**self.environment, **environment})


def current(namespace: str, kubeconfig: Path, folder: Path, environment: Mapping[str, str], keep: Path) -> Terminal:
    """A terminal whose current namespace is `namespace`; `keep` receives its kubeconfig."""
    own = keep / f"{namespace}.kubeconfig"
    own.write_bytes(kubeconfig.read_bytes())
    own.chmod(0o600)
    terminal = Terminal(folder, {**os.environ, **environment, "KUBECONFIG": str(own), "TMP": str(keep)}, namespace)
    terminal.type(f"kubectl config set-context --current --namespace={namespace}")
    return terminal
