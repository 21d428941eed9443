"""Listening sockets."""

import contextlib
import socket

from tornado_app.service.listeners import PER_TURN, Listener


def test_a_rush_is_taken_in_turns():
    """All come in, none is left behind, and between any few Tornado hears that there is nothing more."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(Listener(socket.AF_INET, socket.SOCK_STREAM))
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        listener.settimeout(0)
        for _ in range(2 * PER_TURN + 3):
            stack.enter_context(socket.create_connection(listener.getsockname()))
        turns = [taken(listener, stack) for _ in range(4)]
    assert turns == [PER_TURN, PER_TURN, 3, 0]


def taken(listener, stack):
    """As Tornado does in a turn of its loop."""
    for number in range(128):
        try:
            connection, _ = listener.accept()
        except BlockingIOError:
            return number
        stack.enter_context(connection)
    raise AssertionError("it does not end")
