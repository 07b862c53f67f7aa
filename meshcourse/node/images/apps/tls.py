"""TLS for `serving.Server`, for the few programs that need it: the module ssl costs every process that imports it some megabytes."""

from __future__ import annotations

import socket
import ssl

from .serving import Wrap


def wrapping(certificate: str, key: str, clients: str = "") -> Wrap:
    """Connections as a server with this certificate; `clients` is a file of the authorities that must have signed the client's."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    if clients:
        context.load_verify_locations(clients)
        context.verify_mode = ssl.CERT_REQUIRED

    def wrap(connection: socket.socket) -> socket.socket:
        return context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)

    return wrap
