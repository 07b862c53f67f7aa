from __future__ import annotations

from pathlib import Path

import pytest

from meshcourse.node.container import endings, plan
from meshcourse.node.images import Image
from meshcourse.node.not_yet import NotYet

NGINX = Image(names=("nginx",), identity="nginx", entrypoint=("/entry",), command=("nginx", "-g", "daemon off;"))


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({}, ("/entry", "nginx", "-g", "daemon off;")),
        ({"args": ["-v"]}, ("/entry", "-v")),
        ({"command": ["sh"]}, ("sh",)),
        ({"command": ["sh", "-c"], "args": ["echo $(WHO) $(NOBODY) $$(WHO)"]}, ("sh", "-c", "echo me $(NOBODY) $(WHO)")),
    ],
)
def test_command_replaces_the_entrypoint_and_args_the_arguments(spec: dict[str, list[str]], words: tuple[str, ...]) -> None:
    assert plan.arguments(spec, NGINX, {"WHO": "me"}) == words


def test_an_image_without_a_command_cannot_be_started_without_one() -> None:
    with pytest.raises(NotYet, match="no command specified"):
        plan.arguments({}, Image(names=("empty",), identity="empty"), {})


def test_last_words_are_the_end_of_the_log_without_its_timestamps(tmp_path: Path) -> None:
    log = tmp_path / "0.log"
    log.write_text("".join(f"2026-01-01T00:00:00.000000000Z stdout F line {number}\n" for number in range(100)))
    words = endings.last_words(log).splitlines()
    assert (words[0], words[-1], len(words)) == ("line 20", "line 99", 80)
    assert endings.last_words(tmp_path / "missing.log") == ""


def test_last_words_end_as_the_program_ended_them(tmp_path: Path) -> None:
    log = tmp_path / "0.log"
    stamp = "2026-01-01T00:00:00.000000000Z stdout"
    log.write_bytes(f"{stamp} F a\rb\n{stamp} P lo\n{stamp} F ng\n{stamp} F \n{stamp} P DONE\n".encode())
    assert endings.last_words(log) == "a\rb\nlong\n\nDONE"


@pytest.mark.parametrize(
    ("code", "words", "message"),
    [
        (127, "setpriv: failed to execute nonesuch: No such file or directory\n", 'exec: "nonesuch": No such file or directory'),
        (1, "bwrap: Can't mkdir /proc/x: No such file or directory\n", "failed to create container: bwrap: Can't mkdir"),
        (1, "an ordinary failure\n", ""),
        (127, "started\nsetpriv: failed to execute x: No such file\n", ""),
    ],
)
def test_a_program_that_never_ran_is_told_from_one_that_failed(code: int, words: str, message: str) -> None:
    found = endings.start_error(code, words)
    assert message in found
    assert bool(found) == bool(message)
