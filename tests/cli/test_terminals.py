"""JupyterLab's terminals: real shells on a pseudo-terminal, with the learner's start-up files, which reset PATH as a login shell's do."""

from __future__ import annotations

import contextlib
import re
import select
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import ptyprocess
import pytest

from meshcourse.backends import programs
from meshcourse.jupyterlab import options
from meshcourse.lab import terminal

SHELLS = ("bash", "zsh", "fish", "dash")
BARE = "/usr/local/bin:/usr/bin:/bin"
CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][A-Z0-9]|\x1b\][^\x07]*\x07|\x1b[=>]|[\x0e\x0f]")


class Screen:
    """A terminal's output, and its input."""

    def __init__(self, child: ptyprocess.PtyProcessUnicode) -> None:
        self.child, self.text = child, ""

    def shows(self, wanted: str, within: float = 20.0) -> str:
        """Wait for a text; return all that came since the last keys."""
        ends = time.monotonic() + within
        while wanted not in self.text:
            assert time.monotonic() < ends, f"no {wanted!r} in {self.text!r}"
            if not select.select([self.child.fd], [], [], 0.5)[0]:
                continue
            with contextlib.suppress(EOFError):
                piece = self.child.read(4096)
                if "\x1b[c" in piece or "\x1b[0c" in piece:  # fish asks what the terminal is
                    self.child.write("\x1b[?62c")
                self.text += CODES.sub("", piece)
        return self.text

    def type(self, keys: str) -> None:
        self.text = ""
        self.child.write(keys)

    def runs(self, command: str, answer: str) -> str:
        self.type(f"{command}\n")
        return self.shows(answer)


Opened = Callable[[str], contextlib.AbstractContextManager[Screen]]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home whose start-up files reset PATH, as Debian's /etc/profile does for a login shell."""
    home = tmp_path / "home"
    (home / ".config" / "fish").mkdir(parents=True)
    for name in (".bash_profile", ".bashrc", ".profile", ".zprofile", ".zshrc"):
        (home / name).write_text(f'PATH={BARE}\nMINE=read\nPROMPT_COMMAND="true;$PROMPT_COMMAND"\n', encoding="utf-8")
    (home / ".config" / "fish" / "config.fish").write_text(f"set -gx PATH {BARE.replace(':', ' ')}\nset -g MINE read\n", encoding="utf-8")
    return home


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """What a chapter's first cell passes to terminals."""
    return {
        "PATH": programs.search_path(BARE),
        "KUBECONFIG": str(tmp_path / "bookinfo.kubeconfig"),
        "INGRESS_URL": "http://127.0.0.1:31718",
        "NAMESPACE": "bookinfo",
    }


@pytest.fixture
def opened(home: Path, tmp_path: Path, environment: dict[str, str]) -> Opened:
    """A terminal as JupyterLab opens it, for one of the shells."""
    file = tmp_path / "terminal.sh"
    terminal.follow(environment, into=str(file))

    @contextlib.contextmanager
    def open_(shell: str) -> Iterator[Screen]:
        found = shutil.which(shell, path=BARE)
        if found is None:
            pytest.skip(f"{shell} is not installed")
        variables = {"HOME": str(home), "PATH": BARE, "SHELL": found, "TERM": "xterm", "LANG": "C.UTF-8", terminal.VARIABLE: str(file)}
        words = ["/bin/sh", str(options.SHELLS / "start.sh"), str(options.SHELLS)]
        child = ptyprocess.PtyProcessUnicode.spawn(words, env=variables, dimensions=(40, 200))
        try:
            yield Screen(child)
        finally:
            child.close(force=True)

    return open_


@pytest.mark.parametrize("shell", SHELLS)
def test_kubectl_istioctl_and_meshcourse_are_found_in_every_shell(shell: str, opened: Opened) -> None:
    with opened(shell) as screen:
        screen.shows("(bookinfo) ")
        screen.runs("command -v kubectl; command -v istioctl; command -v meshcourse; echo EN''D", "END")
        for program in ("kubectl", "istioctl", "meshcourse"):
            assert re.search(rf"/\S+/{program}\b", screen.text), screen.text
        screen.runs('echo "$NAMESPACE at $INGRESS_URL"', "bookinfo at http://127.0.0.1:31718")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_terminal_reads_the_learners_own_files_and_follows_the_chapter_that_is_opened_next(
    shell: str, opened: Opened, environment: dict[str, str], tmp_path: Path
) -> None:
    with opened(shell) as screen:
        screen.shows("(bookinfo) ")
        screen.runs('echo "my files: $MINE"', "my files: read")
        screen.shows("(bookinfo) ")
        following = environment | {"NAMESPACE": "canary", "KUBECONFIG": str(tmp_path / "canary.kubeconfig")}
        terminal.follow(following, into=str(tmp_path / "terminal.sh"))
        screen.runs('echo "$NAMESPACE by $KUBECONFIG"', f"canary by {tmp_path}/canary.kubeconfig")
        assert "(now in namespace canary: " in screen.text
        screen.shows("(canary) ")
        screen.runs("true", "(canary) ")
        assert "bookinfo" not in screen.text


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_another_kubeconfig_that_the_learner_sets_is_kept(shell: str, opened: Opened, environment: dict[str, str], tmp_path: Path) -> None:
    with opened(shell) as screen:
        screen.shows("(bookinfo) ")
        screen.runs("export KUBECONFIG=/mine; echo se''t", "set")
        terminal.follow(environment | {"NAMESPACE": "canary"}, into=str(tmp_path / "terminal.sh"))
        screen.runs('echo "still $KUBECONFIG"', "still /mine")
        screen.runs('echo EN""D', "END")
        assert "(bookinfo)" not in screen.text


@pytest.mark.parametrize("inner", ["bash", "bash --login", "zsh", "zsh --login", "fish", "fish --login"])
def test_a_shell_inside_the_terminal_finds_kubectl_too(inner: str, opened: Opened) -> None:
    if shutil.which(inner.split(maxsplit=1)[0], path=BARE) is None:
        pytest.skip(f"{inner} is not installed")
    with opened("bash") as screen:
        screen.shows("(bookinfo) ")
        screen.type(f"{inner}\n")
        screen.shows("\n")
        screen.shows("(bookinfo) ")
        screen.runs("command -v istioctl; echo EN''D", "END")
        assert re.search(r"/\S+/istioctl\b", screen.text), screen.text


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@pytest.mark.parametrize(("typed", "completed"), [("kubectl expl", "kubectl explain"), ("istioctl proxy-c", "istioctl proxy-config")])
def test_tab_completes_kubectl_and_istioctl(shell: str, typed: str, completed: str, opened: Opened) -> None:
    with opened(shell) as screen:
        screen.shows("(bookinfo) ")
        screen.runs("echo rea''dy", "ready")
        screen.shows("(bookinfo) ")
        screen.type(f"{typed}\t")
        screen.shows(completed.removeprefix(typed))
