from __future__ import annotations

import os
from pathlib import Path

from meshcourse.cluster.start_report import StartReport


def test_a_closed_report_writes_into_no_other_file(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    report = StartReport(writing)
    report.send(ready=True)
    report.close()
    assert os.read(reading, 100) == b'{"ready": true}\n'
    os.close(reading)
    held = [os.open(tmp_path / str(number), os.O_RDWR | os.O_CREAT) for number in range(3)]
    assert writing in held, "the number is another file's now"
    report.error(RuntimeError("late"))
    for descriptor in held:
        os.close(descriptor)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"", b"", b""]
