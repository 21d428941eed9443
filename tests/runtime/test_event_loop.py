"""The event loop with fair selection."""

import asyncio
import contextlib
import selectors
import socket

import pytest

from tests.support.wait import eventually
from tornado_app.runtime import event_loop
from tornado_app.runtime.event_loop import MAX_CLIENTS_PER_ITERATION, FairSelector, run

CLIENTS = 3 * MAX_CLIENTS_PER_ITERATION + 5


@pytest.fixture
def clients():
    """A selector on which all are ready to be read."""
    with contextlib.ExitStack() as stack:
        selector = stack.enter_context(contextlib.closing(FairSelector()))
        readers = []
        for _ in range(CLIENTS):
            reader, writer = (stack.enter_context(each) for each in socket.socketpair())
            writer.send(b"x")
            register_client(stack, reader)
            selector.register(reader, selectors.EVENT_READ)
            readers.append(reader)
        yield selector, readers


def register_client(stack, reader):
    """Register it as a client, until the stack ends."""
    event_loop.client_fds.add(reader.fileno())
    stack.callback(event_loop.client_fds.discard, reader.fileno())


def ready(selector):
    return [key.fileobj for key, _ in selector.select(0)]


def test_fair_selector_serves_every_client_before_repeating_one(clients):
    selector, readers = clients
    batches = [ready(selector) for _ in range(4)]
    assert [len(batch) for batch in batches] == [
        MAX_CLIENTS_PER_ITERATION,
        MAX_CLIENTS_PER_ITERATION,
        MAX_CLIENTS_PER_ITERATION,
        5,
    ]
    assert {each for batch in batches for each in batch} == set(readers)
    assert len(ready(selector)) == MAX_CLIENTS_PER_ITERATION  # nothing was read, so all are ready again


def test_fair_selector_skips_closed_and_changed_clients(clients):
    selector, readers = clients
    ready(selector)
    closed = readers[::2]
    for each in closed:
        selector.unregister(each)
    for each in readers[1::2]:
        selector.modify(each, selectors.EVENT_WRITE)
    assert [ready(selector) for _ in range(3)] == [[], [], []]
    assert {key.fileobj for _ in range(4) for key, events in selector.select(0)} == set(readers) - set(closed)


def test_fair_selector_serves_other_fds_in_every_iteration(clients):
    selector, _ = clients
    with contextlib.ExitStack() as stack:
        database, server = (stack.enter_context(each) for each in socket.socketpair())
        selector.register(database, selectors.EVENT_READ, "database")
        ready(selector)
        assert database not in ready(selector)
        server.send(b"x")
        for _ in range(4):
            assert [key.data for key, _ in selector.select(0)].count("database") == 1
        selector.modify(database, selectors.EVENT_READ | selectors.EVENT_WRITE, "changed")
        assert "changed" in [key.data for key, _ in selector.select(0)]
        selector.unregister(database)
        assert all(key.data is None for _ in range(4) for key, _ in selector.select(0))


def test_fair_selector_runs_timers_between_batches():
    async def main():
        loop = asyncio.get_running_loop()
        order = []
        with contextlib.ExitStack() as stack:
            for number in range(CLIENTS):
                reader, writer = (stack.enter_context(each) for each in socket.socketpair())
                writer.send(b"x")
                register_client(stack, reader)

                def read(reader=reader, number=number):
                    loop.remove_reader(reader)
                    order.append(number)
                    if len(order) == 1:
                        loop.call_soon(order.append, "soon")

                loop.add_reader(reader, read)
            await eventually(lambda: len(order) > CLIENTS)
        return order.index("soon")

    assert run(main()) == MAX_CLIENTS_PER_ITERATION
