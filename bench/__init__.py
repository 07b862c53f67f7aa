"""The measurements of `make bench`; none of them is a timed test. They control a browser with the tests' own functions.

Ctrl-C and SIGTERM end each of them after its clean-up, without a traceback.
"""

import signal
import sys
from pathlib import Path
from types import TracebackType

sys.path.append(str(Path(__file__).parents[1] / "tests"))
signal.signal(signal.SIGTERM, signal.default_int_handler)


def _show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)


sys.excepthook = _show
