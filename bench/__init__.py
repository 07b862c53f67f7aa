"""Measurements that make bench reports; none of them is a timed test. They drive a browser by what the tests drive it with."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "tests"))
