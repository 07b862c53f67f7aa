"""Read solutions from a notebook's source, the only place where they are written.

The sources are jupytext's percent format, in which a shell cell's lines are comments; jupytext itself is needed only to generate notebooks.
"""

from __future__ import annotations

import re
from typing import Final

from meshcourse.core import errors

_MARK: Final = re.compile(r"^# %%.*$", re.MULTILINE)
_COMMENT: Final = re.compile(r"^# ?", re.MULTILINE)


def find(source: str, number: str) -> str:
    """The solution cell of exercise `number`. Raises CourseError when the source has none."""
    marks = [*_MARK.finditer(source)]
    for mark, following in zip(marks, [*marks[1:], None], strict=True):
        if '"solution"' in mark[0] and f'exercise="{number}"' in mark[0]:
            text = source[mark.end() : following.start() if following else len(source)].strip()
            return "%%bash\n" + _COMMENT.sub("", text) if 'language="bash"' in mark[0] else text
    raise errors.CourseError(
        f"Exercise {number} has no solution.", why="its chapter's source has no cell with that tag", next=f'lab.hint("{number}")'
    )
