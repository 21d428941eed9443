"""From what a person types to the address of the board's socket."""

from __future__ import annotations

from urllib.parse import urlsplit

from tornado_app.core.errors import StartupError

SOCKET = "/ws/leaderboard"
"""Frontend C's socket. Source: the API contract, section 4."""

_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}


def socket_address(url: str) -> str:
    """`wss://host/ws/leaderboard` for `https://host`; without a scheme it is `http`.

    A path is where a proxy has the service (`https://host/game`), unless it is the socket's own. Query and fragment
    are dropped: they may hold a token, and none is needed. Raises StartupError.
    """
    text = url.strip()
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        raise _refusal("is no address") from None
    if parts.scheme not in _SCHEMES:
        raise _refusal(f"begins with {parts.scheme}://")
    if parts.username is not None or parts.password is not None:
        raise _refusal("holds a user name or a password, which the board does not need")
    if not host or not all(c.isprintable() and c != " " for c in text):
        raise _refusal("names no host" if not host else "holds a space or a control character")
    path = parts.path.rstrip("/").removesuffix(SOCKET)
    authority = f"[{host}]" if ":" in host else host
    return f"{_SCHEMES[parts.scheme]}://{authority}{'' if port is None else f':{port}'}{path}{SOCKET}"


def _refusal(reason: str) -> StartupError:
    return StartupError(f"the address {reason}; give the service's, such as http://127.0.0.1:8000")
