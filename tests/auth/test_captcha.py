"""The captcha check against a local fake of the hCaptcha / Turnstile protocol."""

import asyncio

import pytest
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler

from tests.support.wait import eventually
from tornado_app.auth import captcha as module
from tornado_app.auth.captcha import Captcha
from tornado_app.core.errors import CaptchaRequired, CaptchaUnavailable, InvalidCaptcha
from tornado_app.core.model import Caller, Submission

SECRET = "0x-the-secret-of-the-site"


class SiteVerify(RequestHandler):
    """A valid token is valid once, as with the real services."""

    requests: list
    used: set
    behaviour: dict

    async def post(self):
        form = {name: values[0].decode() for name, values in self.request.body_arguments.items()}
        self.application.requests.append(form)
        behaviour = self.application.behaviour
        if behaviour == "slow" or form.get("response", "").startswith("slow"):
            await asyncio.Event().wait()
        if behaviour == "broken":
            self.set_status(500)
            self.finish("oops")
            return
        if behaviour == "rubbish":
            self.finish("<html>")
            return
        if behaviour == "elsewhere":
            self.redirect("https://evil.test/")
            return
        if form.get("secret") != SECRET:
            self.finish({"success": False, "error-codes": ["invalid-input-secret"]})
        elif not form.get("response", "").startswith("good") or form["response"] in self.application.used:
            self.finish({"success": False, "error-codes": ["timeout-or-duplicate"]})
        else:
            self.application.used.add(form["response"])
            self.finish({"success": True, "hostname": "game.test", "challenge_ts": "2026-01-01T00:00:00Z"})


@pytest.fixture
async def site():
    application = Application([("/siteverify", SiteVerify)])
    application.requests, application.used, application.behaviour = [], set(), "good"
    socket, port = bind_unused_port()
    server = HTTPServer(application)
    server.add_sockets([socket])
    application.url = f"http://127.0.0.1:{port}/siteverify"
    yield application
    server.stop()
    await server.close_all_connections()


@pytest.fixture
def captcha(request, site):
    captcha = Captcha(site.url, SECRET, **getattr(request, "param", {}))
    yield captcha
    captcha.close()


def submission(token="good-1", action_id="a-1", points=1, player="ann"):
    return Submission(Caller(player, 0), points=points, action_id=action_id, captcha=token, remote="203.0.113.7")


async def test_solved_captcha_is_accepted(site, captcha):
    await captcha.check(submission())
    assert site.requests == [{"secret": SECRET, "response": "good-1", "remoteip": "203.0.113.7"}]


async def test_captcha_is_valid_again_for_the_same_submission_only(site, captcha):
    await captcha.check(submission())
    await captcha.check(submission())
    assert len(site.requests) == 1
    for other in (submission(action_id="a-2"), submission(points=2), submission(action_id=None)):
        with pytest.raises(InvalidCaptcha):
            await captcha.check(other)


async def test_captcha_of_a_submission_without_id_is_valid_once(captcha):
    await captcha.check(submission(action_id=None))
    with pytest.raises(InvalidCaptcha):
        await captcha.check(submission(action_id=None))


@pytest.mark.parametrize("token", [None, ""])
async def test_missing_captcha_is_refused(captcha, token):
    with pytest.raises(CaptchaRequired):
        await captcha.check(submission(token))


@pytest.mark.parametrize("token", ["bad", "x" * 5000])
async def test_invalid_captcha_is_refused(captcha, token):
    with pytest.raises(InvalidCaptcha):
        await captcha.check(submission(token))


@pytest.mark.parametrize("behaviour", ["slow", "broken", "rubbish", "elsewhere"])
@pytest.mark.parametrize("captcha", [{"timeout": 0.3}], indirect=True, ids=["short timeout"])
async def test_captcha_check_that_fails_is_captcha_unavailable(site, captcha, behaviour):
    site.behaviour = behaviour
    with pytest.raises(CaptchaUnavailable):
        await captcha.check(submission())


@pytest.fixture
async def hanging_checks(site, captcha):
    """A function that starts checks which the site does not answer."""
    tasks = []

    async def begin(count, player=None):
        before = len(site.requests)
        for n in range(count):
            slow = submission(f"slow-{player}-{n}", player=player or f"p{n}")
            tasks.append(asyncio.ensure_future(captcha.check(slow)))
        await eventually(lambda: len(site.requests) == before + count)

    yield begin
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    # A slot that is left shows only when all of them are used up.
    assert not captcha._in_flight


async def test_hanging_captcha_checks_do_not_delay_other_players(captcha, hanging_checks):
    """Tornado's client has ten connections by default, where the eleventh check would wait for the first."""
    await hanging_checks(50)
    async with asyncio.timeout(module.TIMEOUT / 2):
        await captcha.check(submission())


async def test_captcha_checks_of_one_player_are_limited(captcha, hanging_checks):
    await hanging_checks(module.MAX_CONCURRENT_PER_PLAYER, "ann")
    with pytest.raises(CaptchaUnavailable):
        await captcha.check(submission(action_id="one more"))
    await captcha.check(submission(player="bob"))


@pytest.mark.parametrize("captcha", [{"max_concurrent": 12}], indirect=True, ids=["12 at once"])
async def test_captcha_check_beyond_capacity_is_refused_at_once(site, captcha, hanging_checks):
    await hanging_checks(12)
    with pytest.raises(CaptchaUnavailable) as caught:
        await captcha.check(submission())
    assert caught.value.retry_after
    assert len(site.requests) == 12


async def test_captcha_capacity_is_released_after_every_outcome(site, captcha):
    for _ in range(2 * module.MAX_CONCURRENT_PER_PLAYER):
        with pytest.raises(InvalidCaptcha):
            await captcha.check(submission("bad"))
    await captcha.check(submission())
