"""Why no answer came, in a learner's words.

Comes in: an exception of aiohttp or asyncio and the target. Goes out: (fault, sentence). Pure. Who runs it: the sender, once a failed request.
The faults are the constants in results: few, so that a plot can count them.
"""

from __future__ import annotations

import asyncio
import errno
import ssl

import aiohttp

from meshcourse.traffic import results
from meshcourse.traffic.targets import Target


def explain(error: Exception, target: Target) -> tuple[str, str]:
    """The fault's name and what it means, naming the target's address."""
    where = target.address
    if isinstance(error, (asyncio.TimeoutError, TimeoutError)):
        return results.TIMEOUT, f"timeout: {where} did not answer within {target.timeout:g} s"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return results.UNRESOLVED, f"unresolved: no address is known for the name in {where}"
    if isinstance(error, (aiohttp.ClientSSLError, ssl.SSLError)):
        return results.FAILED, f"failed: no TLS connection to {where}: {error}"
    if isinstance(error, OSError) and error.errno == errno.ECONNREFUSED:
        return results.REFUSED, f"refused: nothing listens on {where} (is the cluster up, is the Service there?)"
    if isinstance(error, aiohttp.ClientConnectorError):
        return results.FAILED, f"failed: no connection to {where}: {error.strerror or error}"
    if isinstance(error, (aiohttp.ServerDisconnectedError, aiohttp.ClientPayloadError, ConnectionError, aiohttp.ClientOSError)):
        return results.RESET, f"reset: {where} closed the connection before the answer was whole"
    if isinstance(error, aiohttp.ClientResponseError):
        return results.NOT_HTTP, f"not HTTP: what {where} sent could not be read as an HTTP answer: {error.message.strip().splitlines()[0] if error.message.strip() else error.status}"
    return results.FAILED, f"failed: {type(error).__name__}: {error}"
