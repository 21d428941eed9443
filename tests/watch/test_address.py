"""Any way to write an address, and none that is none."""

from __future__ import annotations

import pytest

from tornado_app.core.errors import StartupError
from tornado_app.watch.address import socket_address


@pytest.mark.parametrize(
    ("given", "socket"),
    [
        ("http://127.0.0.1:8000", "ws://127.0.0.1:8000/ws/leaderboard"),
        ("http://127.0.0.1:8000/", "ws://127.0.0.1:8000/ws/leaderboard"),
        ("https://play.example.com", "wss://play.example.com/ws/leaderboard"),
        ("https://play.example.com/game/?token=secret#top", "wss://play.example.com/game/ws/leaderboard"),
        ("ws://[::1]:8000/ws/leaderboard", "ws://[::1]:8000/ws/leaderboard"),
        ("wss://play.example.com:444/ws/leaderboard/", "wss://play.example.com:444/ws/leaderboard"),
        ("localhost:8000", "ws://localhost:8000/ws/leaderboard"),
    ],
)
def test_any_way_to_write_the_address_leads_to_the_socket(given, socket):
    assert socket_address(given) == socket


@pytest.mark.parametrize(
    "given",
    ["", "ftp://host", "http://", "http://host:port", "http://[::1", "http://a b", "http://u:p@host", "x\x1b[2J"],
)
def test_an_address_that_is_none_is_refused_without_repeating_it(given):
    with pytest.raises(StartupError, match=r"give the service's, such as http://127\.0\.0\.1:8000") as refused:
        socket_address(given)
    assert "u:p" not in str(refused.value)
    assert "\x1b" not in str(refused.value)
