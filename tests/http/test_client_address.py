"""The client's address behind proxies, and the failure limit."""

import pytest

from tests.support.clock import Clock
from tornado_app.http.client_address import FailureLimiter, TrustedProxies, rate_limit_key

TRUSTED = ["10.0.0.0/8", "fd00::/8"]


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.7", None, "203.0.113.7"),
        ("203.0.113.7", "198.51.100.1", "203.0.113.7"),  # not from a trusted proxy: forged
        ("10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "1.1.1.1, 198.51.100.1", "198.51.100.1"),  # the first is what the client claims
        ("10.0.0.1", "198.51.100.1, 10.0.0.2", "198.51.100.1"),
        ("10.0.0.1", "10.9.9.9, 10.0.0.2", "10.9.9.9"),
        ("10.0.0.1", "198.51.100.1:4711", "198.51.100.1"),
        ("10.0.0.1", "[2001:db8::1]:4711", "2001:db8::1"),
        ("10.0.0.1", "2001:db8::1", "2001:db8::1"),
        ("10.0.0.1", "nonsense", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1, nonsense", "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "\x00<script>", "10.0.0.1"),
        ("::ffff:10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("fd00::1", "198.51.100.1", "198.51.100.1"),
    ],
)
def test_forwarded_address_of_a_trusted_proxy_only_is_used(peer, forwarded, client):
    assert TrustedProxies(TRUSTED).client_address(peer, forwarded) == client


def test_forwarded_address_without_trusted_proxies_is_ignored():
    assert TrustedProxies().client_address("10.0.0.1", "198.51.100.1") == "10.0.0.1"


def test_forwarded_headers_of_an_untrusted_proxy_are_counted():
    ignored: list[int] = []
    proxies = TrustedProxies(TRUSTED, on_ignored=lambda: ignored.append(1))
    for peer, forwarded in [
        ("203.0.113.7", "1.1.1.1"),
        ("203.0.113.7", "1.1.1.1"),
        ("203.0.113.7", None),
        ("10.0.0.1", "1.1.1.1"),
    ]:
        proxies.client_address(peer, forwarded)
    assert len(ignored) == 2


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("", ""),
    ],
)
def test_rate_limit_key_of_an_ipv6_network_is_one(address, counted):
    assert rate_limit_key(address) == counted


def test_failure_limiter_has_a_sliding_window():
    clock = Clock(100.0)
    failures = FailureLimiter(3, 60, clock=clock)
    for _ in range(3):
        assert failures.retry_after("a") == 0
        failures.record("a")
        clock.now += 10
    assert failures.retry_after("a") == 30  # the first, at 100, leaves the window at 160
    assert failures.retry_after("b") == 0
    clock.now = 160
    assert failures.retry_after("a") == 0


def test_failure_limiter_keeps_a_bounded_number_of_addresses():
    failures = FailureLimiter(1, 60, max_addresses=10)
    for n in range(100):
        failures.record(f"10.0.0.{n}")
    # The number of addresses has no other effect than its memory.
    assert len(failures._times) == 10
    assert failures.retry_after("10.0.0.99") > 0
    assert failures.retry_after("10.0.0.1") == 0
