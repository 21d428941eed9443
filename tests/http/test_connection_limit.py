"""A process limits its connections by its file descriptors."""

import resource
import socket

from tests.support.wait import wait_until
from tornado_app.http.server import ConnectionLimiter, max_open_files


class Stream:
    def __init__(self):
        self.ended = False

    def closed(self):
        return self.ended


def test_has_capacity_up_to_the_maximum_and_again_after_a_close(caplog):
    limiter = ConnectionLimiter(3)
    streams = [Stream() for _ in range(3)]
    for stream in streams:
        assert limiter.has_capacity()
        limiter.add(stream)
    assert not limiter.has_capacity()
    assert not limiter.has_capacity()
    assert caplog.text.count("connection limit reached") == 1
    streams[1].ended = True
    assert limiter.has_capacity()
    limiter.add(Stream())
    assert not limiter.has_capacity()


def test_max_open_files_raises_the_limit_as_far_as_allowed():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        found = max_open_files()
        assert found >= soft
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == min(found, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_connections_past_the_limit_are_refused_until_others_close(run_service, module_database):
    uri, name = module_database
    service = run_service(uri=uri, database=name, limits=(300, 300))
    host, port = service.url.removeprefix("http://").split(":")
    idle = []
    try:
        for _ in range(400):
            idle.append(socket.create_connection((host, int(port)), timeout=5))
        assert service.metric("leaderboard_build_info") == 1  # the metrics have a reserve
        wait_until(lambda: "connection limit reached" in service.log, what="it is logged")
    finally:
        for each in idle:
            each.close()
    wait_until(lambda: answers(service), what="served again")
    assert "Traceback" not in service.log
    assert service.log.count("connection limit reached") == 1


def answers(service):
    try:
        return service.get("/healthz").status == 200
    except OSError:
        return False
