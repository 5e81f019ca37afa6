"""Why a receiver on the network cannot be reached, in words without an address or a secret."""

import os
import socket
import ssl


def why_not_reached(error: Exception) -> str | None:
    """What an error of a connection means; None if it is none of those that are known."""
    if isinstance(error, socket.gaierror):
        return "the name of the host cannot be resolved"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not valid ({error.verify_message})"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed ({error.reason or 'the connection was closed'})"
    if isinstance(error, TimeoutError):
        return "does not answer"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno).lower()
    return None
