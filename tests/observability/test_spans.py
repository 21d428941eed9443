"""Unit tests of spans: one batch, errors, and the environment variables."""

import asyncio
import contextlib
import logging

import pytest

from tests.support.collector import Collector
from tornado_app.core.boards import MAIN_VIEW, View
from tornado_app.core.errors import StartupError
from tornado_app.core.model import Action, Profile
from tornado_app.core.policies import RateLimit, WritePolicy
from tornado_app.mongo.client.driver import connect, maybe_await
from tornado_app.mongo.players import indexes
from tornado_app.mongo.players.store import MongoStore
from tornado_app.observability import otel_setup
from tornado_app.observability.tracing import NO_TRACING


@pytest.fixture
def collector(monkeypatch):
    with Collector() as collector:
        for name, value in collector.environment.items():
            monkeypatch.setenv(name, value)
        yield collector


async def requested(spans, work):
    """`work` as a part of a request of its own."""
    answered = spans.request("POST", None, "r")
    try:
        return await work
    finally:
        answered("/api/score", 200)


async def test_batch_of_two_requests_is_one_span_linked_to_both(collector, mongo_database):
    uri, name = mongo_database
    client = connect(uri)
    await indexes.ensure(client, name)
    spans = otel_setup.from_environment()
    store = MongoStore(client, name, policy=WritePolicy(limit=RateLimit(10, 60)), tracing=spans)
    actions = [Action(user, 5, None, b"f", Profile(), create_player=True, frontend="A") for user in ("ann", "bob")]
    await asyncio.gather(*(asyncio.create_task(requested(spans, store.apply(each))) for each in actions))
    await store.apply(actions[0])  # which no request caused
    await store.close()
    await maybe_await(client.close())
    await spans.close()
    (commit,) = collector.named("group commit")
    submits = collector.named("submit")
    assert len(submits) == 2
    assert commit.links == [span.id for span in submits]
    assert commit.attributes["leaderboard.batch.size"] == 2
    assert sorted(span.links for span in submits) == [[], [commit.id]]
    assert {span.parent for span in submits} == {span.id for span in collector.named("POST /api/score")}


async def test_failed_span_has_only_the_error_type(collector):
    spans = otel_setup.from_environment()

    async def fail():
        spans.submission("write_id", "A", asyncio.get_running_loop().create_future())
        with spans.commit(["write_id"]):
            spans.changed(MAIN_VIEW, ["write_id"])
            raise ValueError("a secret")

    with contextlib.suppress(ValueError):
        await asyncio.create_task(requested(spans, fail()))
    with contextlib.suppress(OSError), spans.refresh(MAIN_VIEW):
        spans.shown(MAIN_VIEW)
        raise OSError("a secret")
    with contextlib.suppress(KeyError), spans.broadcast({MAIN_VIEW: 3}):
        raise KeyError("a secret")
    with spans.refresh(MAIN_VIEW), spans.broadcast({MAIN_VIEW: 3}):  # nothing led to these
        spans.shown(MAIN_VIEW)
    await spans.close()
    failed = {span.name: span.attributes["error.type"] for span in collector.spans if span.failed}
    assert failed == {"group commit": "ValueError", "board refresh": "OSError", "broadcast": "KeyError"}
    assert len(collector.spans) == len(failed) + 1
    assert not any(b"secret" in body for body in collector.bodies)


async def test_server_error_response_is_a_failed_span(collector):
    spans = otel_setup.from_environment()
    for status in (404, 503):
        spans.request("GET", None, "r")("/api/top-scores", status)
    await spans.close()
    assert [span.failed for span in collector.spans] == [False, True]


async def committed(spans, write_id):
    """A submission whose caller gives up, and the batch that writes it."""
    answer = asyncio.get_running_loop().create_future()
    spans.submission(write_id, "A", answer)
    with spans.commit([write_id]):
        answer.cancel()


async def test_combined_changes_are_one_refresh_span_linked_to_their_causes(collector):
    spans = otel_setup.from_environment()

    for write_id in ("a", "b"):
        await asyncio.create_task(requested(spans, committed(spans, write_id)))
        spans.changed(MAIN_VIEW, write_id)
    spans.changed(MAIN_VIEW, "of another process")
    with spans.refresh(MAIN_VIEW):
        spans.shown(MAIN_VIEW)
    with spans.broadcast({MAIN_VIEW: 0}):
        pass
    await spans.close()
    first, second = collector.named("group commit")
    (refresh,), (broadcast,) = collector.named("board refresh"), collector.named("broadcast")
    assert (refresh.parent, refresh.links) == (first.id, [second.id])
    assert (broadcast.parent, broadcast.trace) == (refresh.id, first.trace)
    assert {span.attributes["leaderboard.result"] for span in collector.named("submit")} == {"cancelled"}


async def test_spans_of_two_views_are_separate(collector):
    spans, kart = otel_setup.from_environment(), View("kart")
    for write_id, view in (("a", MAIN_VIEW), ("b", kart)):
        await asyncio.create_task(requested(spans, committed(spans, write_id)))
        spans.changed(view, [write_id])
    with spans.refresh(kart):
        with spans.refresh(MAIN_VIEW):
            spans.shown(kart)
        spans.shown(MAIN_VIEW)  # its refresh has ended
    with spans.broadcast({MAIN_VIEW: 1, kart: 2}):
        pass
    await spans.close()
    refreshes = {span.attributes["leaderboard.board"]: span for span in collector.named("board refresh")}
    first, second = collector.named("group commit")
    assert (refreshes["main"].parent, refreshes["kart"].parent) == (first.id, second.id)
    (broadcast,) = collector.named("broadcast")
    assert broadcast.parent == refreshes["kart"].id
    assert broadcast.attributes == {"leaderboard.board": "kart", "leaderboard.clients": 2}


@pytest.mark.parametrize(
    ("variables", "on", "logged"),
    [
        ({"OTEL_TRACES_EXPORTER": "console"}, False, "tracing is disabled: OTEL_TRACES_EXPORTER must be otlp or none"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, True, "OTLP protocol is not supported, sending http/protobuf"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, True, None),
    ],
)
async def test_unknown_otel_settings_are_logged_and_ignored(collector, monkeypatch, caplog, variables, on, logged):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with caplog.at_level(logging.WARNING):
        tracing = otel_setup.from_environment()
    assert (tracing is not NO_TRACING) == on
    assert caplog.messages == ([] if logged is None else [logged])
    await tracing.close()


def test_invalid_otel_value_is_a_startup_error(collector, monkeypatch):
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "-1")
    with pytest.raises(StartupError, match="max_queue_size must be a positive integer"):
        otel_setup.from_environment()
