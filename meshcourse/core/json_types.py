"""Type aliases for JSON objects."""

from collections.abc import Mapping
from typing import Any

# A JSON object that its holder may change, and one that is only read.
Json = dict[str, Any]
JsonMapping = Mapping[str, Any]
