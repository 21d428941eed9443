"""What the hub sends to which client, and when, with clients that a test can stall."""

import asyncio
import json

import pytest

from tests.support.wait import eventually
from tornado_app.core.boards import MAIN_VIEW, View
from tornado_app.core.interfaces import Change
from tornado_app.core.model import Player, Standing, TopPlayers
from tornado_app.core.plan import Announcement
from tornado_app.live import hub as module
from tornado_app.live.hub import Hub, Subscriber, text_frame


def top(version, *scores):
    return TopPlayers(version, tuple(Standing(n, Player(f"p{n}", s, 0, f"p{n}")) for n, s in enumerate(scores, 1)))


class EchoChannel:
    """Messages that contain the versions which a client had and gets."""

    name = "T"

    def __init__(self):
        self.encoded = 0

    def message(self, seen, shown):
        self.encoded += 1
        return json.dumps([seen and seen.version, shown.version]).encode()

    def personal(self, update, version):
        return json.dumps({"score": update.score, "rank": update.rank, "change": update.change}).encode()


class Client:
    """A connection that sends frames at once, or stalls while `holding` is set."""

    def __init__(self):
        self.frames, self.held, self.evicted = [], None, None
        self.holding = False

    def send(self, frame):
        self.frames.append(json.loads(frame[2:] if frame[1] < 126 else frame[4:]))
        if not self.holding:
            return None
        self.held = asyncio.get_running_loop().create_future()
        return self.held

    def evict(self, reason):
        self.evicted = reason


@pytest.fixture
async def hub():
    hub = Hub(gap=0.001)
    task = asyncio.ensure_future(hub.run())
    yield hub
    task.cancel()
    await asyncio.wait([task])


async def until(condition):
    await eventually(condition, 5)


def join(hub, channel=None, topic=None, *, holding=False, announced=False):
    client = Client()
    client.holding = holding
    subscriber = Subscriber(topic or hub.topic(MAIN_VIEW), channel or EchoChannel(), client, announced=announced)
    hub.join(subscriber)
    return client, subscriber


async def test_hub_sends_a_new_subscriber_the_current_state(hub):
    hub.topic(MAIN_VIEW).publish_top(top(1, 5))
    client, _ = join(hub)
    assert client.frames == [[None, 1]]


async def test_hub_encodes_a_message_once_for_all_clients(hub):
    channel = EchoChannel()
    hub.topic(MAIN_VIEW).publish_top(top(1, 5))
    clients = [join(hub, channel)[0] for _ in range(50)]
    hub.topic(MAIN_VIEW).publish_top(top(2, 6))
    await until(lambda: all(len(c.frames) == 2 for c in clients))
    assert channel.encoded == 2


async def test_hub_sends_a_slow_client_only_the_newest_state(hub):
    hub.topic(MAIN_VIEW).publish_top(top(1, 5))
    slow, _ = join(hub, holding=True)
    quick, _ = join(hub)
    for version in (2, 3, 4):
        hub.topic(MAIN_VIEW).publish_top(top(version, 5 + version))
        await until(lambda version=version: quick.frames[-1][1] == version)
    assert slow.frames == [[None, 1]]
    slow.holding = False
    slow.held.set_result(None)
    await until(lambda: len(slow.frames) == 2)
    assert slow.frames[1] == [1, 4]  # from the version that it has: a diff contains every change


async def test_hub_sends_a_personal_update_to_its_player_only(hub):
    hub.topic(MAIN_VIEW).publish_top(top(1, 5))
    alice, subscriber = join(hub)
    bob, other = join(hub)
    hub.identify(subscriber, "alice")
    hub.identify(other, "bob")
    hub.topic(MAIN_VIEW).publish_change(Change("alice", 10, 15, 2, 0), 3)
    await until(lambda: len(alice.frames) == 2)
    assert alice.frames[1] == {"score": 15, "rank": 3, "change": 5}
    assert len(bob.frames) == 1


async def test_hub_sums_pending_personal_updates(hub):
    hub.topic(MAIN_VIEW).publish_top(top(1, 5))
    client, subscriber = join(hub, holding=True)
    hub.identify(subscriber, "alice")
    for old in (0, 5, 10):
        hub.topic(MAIN_VIEW).publish_change(Change("alice", old, old + 5, 2, 0), 9 - old // 5)
    client.holding = False
    client.held.set_result(None)
    await until(lambda: len(client.frames) == 2)
    assert client.frames[1] == {"score": 15, "rank": 7, "change": 15}


async def test_hub_alternates_between_top_10_and_personal_updates(hub):
    hub.topic(MAIN_VIEW).publish_top(top(1, 5))
    client, subscriber = join(hub)
    hub.identify(subscriber, "alice")
    for version in range(2, 12):
        hub.topic(MAIN_VIEW).publish_top(top(version, version))
        hub.topic(MAIN_VIEW).publish_change(Change("alice", version, version + 1, version, 0), 1)
        # The hub does not report that it has sent everything.
        await until(lambda: not hub._pending)
    assert sum(isinstance(f, dict) for f in client.frames) >= 5
    assert sum(isinstance(f, list) for f in client.frames) >= 5


async def test_hub_sends_nothing_to_a_client_that_left(hub):
    hub.topic(MAIN_VIEW).publish_top(top(1, 5))
    client, subscriber = join(hub)
    hub.identify(subscriber, "alice")
    hub.leave(subscriber)
    hub.topic(MAIN_VIEW).publish_top(top(2, 6))
    hub.topic(MAIN_VIEW).publish_change(Change("alice", 1, 2, 2, 0), 1)
    other, _ = join(hub)
    assert other.frames == [[None, 2]]
    assert client.frames == [[None, 1]]
    assert len(hub.topic(MAIN_VIEW).subscribers) == 1


async def test_hub_evicts_a_client_that_stops_reading():
    hub = Hub(gap=0.001, stall_seconds=0.02)
    task = asyncio.ensure_future(hub.run())
    hub.topic(MAIN_VIEW).publish_top(top(1, 5))
    stalled, _ = join(hub, holding=True)
    healthy, _ = join(hub)
    await until(lambda: stalled.evicted == "stalled")
    assert healthy.evicted is None
    task.cancel()
    await asyncio.wait([task])


async def test_hub_with_a_stalled_client_idles_and_serves_the_others(hub):
    """Pending personal updates of a stalled client do not keep the hub awake."""
    hub.topic(MAIN_VIEW).publish_top(top(1, 5))
    stalled, subscriber = join(hub, holding=True)
    hub.identify(subscriber, "alice")
    healthy = [join(hub)[0] for _ in range(20)]
    for version in range(2, 12):
        hub.topic(MAIN_VIEW).publish_top(top(version, version))
        hub.topic(MAIN_VIEW).publish_change(Change("alice", version, version + 1, version, 0), 1)
        await until(lambda version=version: all(c.frames[-1][1] == version for c in healthy))
    assert [c.frames for c in healthy] == [[[None, 1], *([n - 1, n] for n in range(2, 12))]] * 20
    assert len(stalled.frames) == 1
    # An idle hub is one that has nothing to send and is not woken; no frame shows it.
    await until(lambda: not hub._pending and not hub._wake.is_set())
    stalled.holding = False
    stalled.held.set_result(None)
    await until(lambda: len(stalled.frames) == 3)
    assert {"score": 12, "rank": 1, "change": 10} in stalled.frames
    assert [1, 11] in stalled.frames


@pytest.mark.parametrize("fails", ["message", "send"])
async def test_hub_sends_to_all_others_after_one_client_fails(hub, caplog, fails):
    class Failing(EchoChannel, Client):
        def __init__(self):
            EchoChannel.__init__(self)
            Client.__init__(self)

        name = "F"

        def message(self, seen, shown):
            return self.fail() if fails == "message" else super().message(seen, shown)

        def send(self, frame):
            return self.fail() if fails == "send" else super().send(frame)

        def fail(self):
            raise ValueError("on purpose")

    failing = Failing()
    hub.join(Subscriber(hub.topic(MAIN_VIEW), failing, failing))
    others = [join(hub)[0] for _ in range(3)]
    for version in (1, 2):
        hub.topic(MAIN_VIEW).publish_top(top(version, version))
        await until(lambda version=version: all(c.frames and c.frames[-1][1] == version for c in others))
    assert "on purpose" in caplog.text


async def test_hub_counts_messages_by_channel():
    counted = []
    hub = Hub(gap=0.001, observe=lambda channel, messages: counted.append((channel, messages)))
    hub.topic(MAIN_VIEW).publish_top(top(1, 5))
    for _ in range(3):
        join(hub)
    assert counted == [("T", 1)] * 3
    hub.topic(MAIN_VIEW).publish_top(top(2, 6))
    # One pass, without the loop and its pauses.
    await hub._pass()
    assert counted[3:] == [("T", 3)]


async def test_hub_broadcast_yields_to_the_event_loop_after_each_batch():
    hub, received = Hub(gap=0.001, chunk_seconds=0.0), []
    hub.topic(MAIN_VIEW).publish_top(top(1, 5))
    clients = [join(hub)[0] for _ in range(3 * module.BATCH)]
    hub.topic(MAIN_VIEW).publish_top(top(2, 6))
    # One pass, without the loop and its pauses.
    passing = asyncio.ensure_future(hub._pass())
    while not passing.done():
        await asyncio.sleep(0)
        received.append(sum(len(client.frames) == 2 for client in clients))
    assert {module.BATCH, 2 * module.BATCH, 3 * module.BATCH} <= set(received)


@pytest.mark.parametrize("busy", [False, True])
async def test_hub_broadcast_pauses_while_writes_wait_within_its_share(monkeypatch, busy):
    pauses = []

    async def sleep(seconds):
        pauses.append(seconds)

    # Each batch is a chunk of its own, and adds nothing to the time that may be yielded.
    hub = Hub(gap=0.001, should_yield=lambda: busy, chunk_seconds=-1.0, max_yield_share=0.0)
    hub.topic(MAIN_VIEW).publish_top(top(1, 5))
    for _ in range(6 * module.BATCH):
        join(hub)
    hub.topic(MAIN_VIEW).publish_top(top(2, 6))
    monkeypatch.setattr(module.asyncio, "sleep", sleep)
    await hub._pass()
    expected = module.YIELD_SECONDS if busy else 0.0
    assert pauses == [expected] * 3 + [0.0] * 3


async def test_hub_sends_a_view_to_its_own_subscribers_only(hub):
    kart = hub.topic(View("kart"))
    for topic in (hub.topic(MAIN_VIEW), kart):
        topic.publish_top(top(1, 5))
    client, subscriber = join(hub)
    other, others_subscriber = join(hub, topic=kart)
    for each in (subscriber, others_subscriber):
        hub.identify(each, "alice")
    kart.publish_top(top(2, 6))
    kart.publish_change(Change("alice", 5, 6, 2, 0), 1)
    await until(lambda: len(other.frames) == 3)
    hub.topic(MAIN_VIEW).publish_top(top(7, 7))
    await until(lambda: len(client.frames) == 2)
    assert client.frames == [[None, 1], [1, 7]]
    assert other.frames == [[None, 1], {"score": 6, "rank": 1, "change": 1}, [1, 2]]


async def test_hub_encodes_a_message_once_for_each_view():
    hub, channel = Hub(), EchoChannel()
    for view in (MAIN_VIEW, View("kart"), View("main", "weekly")):
        hub.topic(view).publish_top(top(1, 5))
        for _ in range(3):
            join(hub, channel, topic=hub.topic(view))
    assert channel.encoded == 3


async def test_hub_reports_what_it_has_shown_of_each_view():
    shown = []
    hub = Hub(shown=lambda view, top: shown.append((view, top.version)))
    hub.topic(MAIN_VIEW).publish_top(top(1, 5))
    hub.topic(View("kart")).publish_top(top(2, 5))
    # One pass, without the loop and its pauses.
    await hub._pass()
    assert shown == [(MAIN_VIEW, 1), (View("kart"), 2)]
    hub.topic(MAIN_VIEW).publish_top(top(3, 6))
    await hub._pass()
    assert shown[2:] == [(MAIN_VIEW, 3)]


def epoch(number, version):
    return TopPlayers(version, (), number)


def announced(number, *, ending=False):
    return {"epoch": number, "end": 9, "ending": ending}


async def test_hub_sends_the_announcement_after_the_first_board_to_subscribers_of_a_period(hub):
    topic = hub.topic(View("main", "weekly"))
    topic.announce(Announcement(14, 9, ending=False))
    early, _ = join(hub, topic=topic, announced=True)
    topic.publish_top(epoch(14, 1))
    await until(lambda: len(early.frames) == 2)
    late, _ = join(hub, topic=topic, announced=True)
    other, _ = join(hub, topic=topic)
    await until(lambda: len(late.frames) == 2)
    assert early.frames == late.frames == [[None, 1], announced(14)]
    topic.announce(Announcement(14, 9, ending=False))  # the same
    topic.announce(Announcement(14, 9, ending=True))
    await until(lambda: len(early.frames) == len(late.frames) == 3)
    assert early.frames[2:] == late.frames[2:] == [announced(14, ending=True)]
    topic.publish_top(epoch(14, 2))
    await until(lambda: len(early.frames) == len(late.frames) == 4)
    assert other.frames == [[None, 1], [1, 2]]


async def test_hub_announces_an_epoch_once_the_board_is_of_it_and_before_that_board(hub):
    topic = hub.topic(View("main", "weekly"))
    topic.publish_top(epoch(14, 1))
    client, _ = join(hub, topic=topic, announced=True)
    topic.announce(Announcement(15, 9, ending=False))
    topic.publish_top(epoch(14, 2))
    await until(lambda: len(client.frames) == 2)
    topic.publish_top(epoch(15, 3))
    await until(lambda: len(client.frames) == 4)
    assert client.frames == [[None, 1], [1, 2], announced(15), [2, 3]]


async def test_hub_sends_a_slow_client_only_the_newest_announcement(hub):
    topic = hub.topic(View("main", "weekly"))
    topic.publish_top(epoch(14, 1))
    slow, _ = join(hub, topic=topic, holding=True, announced=True)
    quick, _ = join(hub, topic=topic, announced=True)
    for number in (14, 15, 16):
        topic.publish_top(epoch(number, number))
        topic.announce(Announcement(number, 9, ending=False))
        await until(lambda number=number: announced(number) in quick.frames[-2:])
    slow.holding = False
    slow.held.set_result(None)
    await until(lambda: len(slow.frames) == 3)
    assert slow.frames == [[None, 1], announced(16), [1, 16]]


async def test_hub_encodes_an_announcement_once_for_all_clients_and_again_when_its_time_is_old():
    made = []
    hub = Hub(encode=lambda view, announcement: made.append(view) or b"{}")
    topic = hub.topic(View("main", "weekly"))
    topic.publish_top(epoch(14, 1))
    clients = [join(hub, topic=topic, announced=True)[0] for _ in range(50)]
    topic.announce(Announcement(14, 9, ending=False))
    # One pass, without the loop and its pauses.
    await hub._pass()
    assert [client.frames for client in clients] == [[[None, 1], {}]] * 50
    assert made == [topic.view]
    made_at, frame = topic.announcement_frame
    topic.announcement_frame = (made_at - 2 * module.FRESH_SECONDS, frame)
    join(hub, topic=topic, announced=True)
    await hub._pass()
    assert made == [topic.view] * 2


@pytest.mark.parametrize(("size", "head"), [(5, b"\x81\x05"), (126, b"\x81\x7e\x00\x7e"), (65535, b"\x81\x7e\xff\xff")])
def test_text_frame_has_the_head_of_rfc_6455(size, head):
    payload = b"x" * size
    assert text_frame(payload) == head + payload
    assert text_frame(b"x" * 65536)[:10] == b"\x81\x7f" + (65536).to_bytes(8, "big")
