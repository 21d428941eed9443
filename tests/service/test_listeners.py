"""Listening sockets."""

import contextlib
import socket

from tornado_app.service.listeners import MAX_ACCEPTS_PER_ITERATION, Listener


def test_connection_burst_is_accepted_in_batches():
    """All come in, none is left behind, and between any few Tornado hears that there is nothing more."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(Listener(socket.AF_INET, socket.SOCK_STREAM))
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        listener.settimeout(0)
        for _ in range(2 * MAX_ACCEPTS_PER_ITERATION + 3):
            stack.enter_context(socket.create_connection(listener.getsockname()))
        turns = [taken(listener, stack) for _ in range(4)]
    assert turns == [MAX_ACCEPTS_PER_ITERATION, MAX_ACCEPTS_PER_ITERATION, 3, 0]


def taken(listener, stack):
    """As Tornado does in a turn of its loop."""
    for number in range(128):
        try:
            connection, _ = listener.accept()
        except BlockingIOError:
            return number
        stack.enter_context(connection)
    raise AssertionError("it does not end")
