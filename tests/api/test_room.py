"""How many connections a process takes."""

import resource
import socket

from tests.support.wait import wait_until
from tornado_app.http.connection_limit import ConnectionLimiter, max_open_files


class Stream:
    def __init__(self):
        self.ended = False

    def closed(self):
        return self.ended


def test_there_is_room_until_there_is_none_and_again_when_one_leaves(caplog):
    room = ConnectionLimiter(3)
    streams = [Stream() for _ in range(3)]
    assert all(room.try_acquire(stream) for stream in streams)
    assert not room.try_acquire(Stream())
    assert not room.try_acquire(Stream())
    assert caplog.text.count("no room") == 1
    streams[1].ended = True
    assert room.try_acquire(Stream())
    assert not room.try_acquire(Stream())


def test_as_many_descriptors_as_may_be_had():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        found = max_open_files()
        assert found >= soft
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == min(found, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_idle_connections_cannot_take_the_service_away(run_service, module_database):
    uri, name = module_database
    service = run_service(uri=uri, database=name, limits=(300, 300))
    host, port = service.url.removeprefix("http://").split(":")
    idle = []
    try:
        for _ in range(400):
            idle.append(socket.create_connection((host, int(port)), timeout=5))
        assert service.metric("leaderboard_build_info") == 1  # the metrics have a reserve
        wait_until(lambda: "no room for more connections" in service.log, what="said once")
    finally:
        for each in idle:
            each.close()
    wait_until(lambda: answers(service), what="served again")
    assert "Traceback" not in service.log
    assert service.log.count("no room for more connections") == 1


def answers(service):
    try:
        return service.get("/healthz").status == 200
    except OSError:
        return False
