"""Why no answer came, in plain words.

The faults are the constants in results: few, so that a plot can count them.
"""

from __future__ import annotations

import errno
import ssl
from typing import Final

import aiohttp

from meshcourse.traffic import results
from meshcourse.traffic.targets import Target

_SYSTEM: Final = {errno.ECONNREFUSED: results.REFUSED, errno.ECONNRESET: results.RESET}


def explain(error: Exception, target: Target) -> tuple[str, str]:
    """The fault's name and what it means, naming the target's address."""
    fault = name(error)
    return fault, f"{fault}: {_words(fault, error, target)}"


def name(error: Exception) -> str:
    """The name of the fault for an exception."""
    kinds: tuple[tuple[str, tuple[type[Exception], ...]], ...] = (
        (results.TIMEOUT, (TimeoutError,)),
        (results.UNRESOLVED, (aiohttp.ClientConnectorDNSError,)),
        (results.FAILED, (aiohttp.ClientSSLError, ssl.SSLError)),
        (results.REFUSED, (ConnectionRefusedError,)),
        (results.FAILED, (aiohttp.ClientConnectorError,)),
        (results.RESET, (aiohttp.ServerDisconnectedError, aiohttp.ClientPayloadError, aiohttp.ClientOSError, ConnectionError)),
        (results.NOT_HTTP, (aiohttp.ClientResponseError,)),
    )
    # aiohttp wraps the system's error in its own. A closed host port resets, sometimes before the connection counts as open.
    if isinstance(error, aiohttp.ClientConnectorError) and error.errno in _SYSTEM:
        return _SYSTEM[error.errno]
    return next((fault for fault, types in kinds if isinstance(error, types)), results.FAILED)


def _words(fault: str, error: Exception, target: Target) -> str:
    where = target.address
    message = (getattr(error, "message", "") or str(error) or type(error).__name__).strip().splitlines()[0]
    return {
        results.TIMEOUT: f"{where} did not answer within {target.timeout:g} s",
        results.UNRESOLVED: f"the name in {where} has no address",
        results.REFUSED: f"nothing listens on {where} (is the cluster up, is the gateway there?)",
        results.RESET: f"{where} closed the connection before the answer was whole",
        results.NOT_HTTP: f"{where} did not answer in HTTP: {message}",
    }.get(fault, f"no connection to {where}: {message}")
