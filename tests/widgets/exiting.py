"""A kernel in short: opens a panel, runs load, and ends without closing anything. Run by test_a_kernel_that_ends_takes_its_load_along."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from meshcourse.kube.connection import Connection
from meshcourse.widgets.panels.weights import WeightPanel

panel = WeightPanel(Connection(Path(sys.argv[1]), sys.argv[2]), namespace=sys.argv[3], virtual_service="web")
panel.start(rate=200)
ends = time.monotonic() + 20
while panel.snapshot().counts.answered < 50 and time.monotonic() < ends:
    time.sleep(0.05)
panel.widgets.sliders["v2"].value = 40
print("answered", panel.snapshot().counts.answered, flush=True)  # noqa: T201 - read by the test
