"""What a log's end tells of a run that has ended. Pure but for reading the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_LOG_BYTES = 2048
_LOG_LINES = 80
_SETPRIV_FAILED = "setpriv: failed to execute "


def start_error(code: int, words: str) -> str:
    r"""From a log's end: the error of bubblewrap or setpriv if the program was never executed, otherwise "".

    >>> start_error(127, "setpriv: failed to execute nonesuch: No such file or directory\n")
    'failed to start container: exec: "nonesuch": No such file or directory'
    """
    if words.count("\n") > 1:  # they print one line and exit
        return ""
    if code in (126, 127) and words.startswith(_SETPRIV_FAILED):
        program, _, why = words.strip().removeprefix(_SETPRIV_FAILED).rpartition(": ")
        return f'failed to start container: exec: "{program}": {why}'
    if code == 1 and words.startswith("bwrap: "):
        return f"failed to create container: {words.strip()}"
    return ""


def last_words(log: Path) -> str:
    """The end of a log, without its timestamps: at most 80 lines and 2048 bytes, as for FallbackToLogsOnError."""
    try:
        lines = log.read_bytes().split(b"\n")[:-1][-_LOG_LINES:]
    except OSError:
        return ""
    records = [(tag, text) for _, _, tag, text in (line.split(b" ", 3) for line in lines)]
    text = b"".join(text + b"\n" * (tag == b"F") for tag, text in records)
    return text[-_LOG_BYTES:].decode(errors="replace")
