"""The lease: one holder at a time by the database's clock, takeover after expiry, no write by a former holder."""

import asyncio

import pytest

from tests.support.drivers import BOTH_DRIVERS
from tests.support.wait import eventually
from tornado_app.mongo.client.driver import connect, maybe_await
from tornado_app.mongo.ledger.lease import Lease, LeaseLost


@pytest.fixture(params=BOTH_DRIVERS)
async def database(request, mongo_database):
    client = connect(mongo_database[0], request.param)
    yield client[mongo_database[1]]
    await maybe_await(client.close())


async def test_lease_is_taken_by_the_first_holder_only(database):
    one, two = Lease(database, "x", holder="one"), Lease(database, "x", holder="two")
    state = await one.take()
    assert (state["holder"], state["term"]) == ("one", 1)
    assert 5 < one.left <= 6
    assert await two.take() is None
    assert two.left == 0
    assert (await database["leases"].find_one({"_id": "x"}))["holder"] == "one"


async def test_lease_taken_by_many_at_once_has_one_holder(database):
    leases = [Lease(database, "x", holder=str(n)) for n in range(20)]
    taken = [state for state in await asyncio.gather(*(lease.take() for lease in leases)) if state is not None]
    assert [state["term"] for state in taken] == [1]


async def test_leases_of_different_names_are_independent(database):
    one, two = Lease(database, "x", holder="one"), Lease(database, "y", holder="two")
    assert await one.take()
    assert await two.take()


async def test_lease_renewal_keeps_values_and_term(database):
    lease = Lease(database, "x", holder="one")
    first = await lease.take({"resume_token": 1})
    assert "resume_token" not in first  # the lease was not held yet
    second = await lease.take({"resume_token": {"$deep": ["$score"]}})
    assert second["until"] > first["until"]
    assert (second["term"], second["resume_token"]) == (1, {"$deep": ["$score"]})


async def test_lease_expired_is_taken_over_with_its_values(database):
    one, two = Lease(database, "x", ttl=0.4, holder="one"), Lease(database, "x", ttl=0.4, holder="two")
    await one.take()
    await one.take({"resume_token": 7})
    state = await eventually(two.take, 5)
    assert (state["holder"], state["term"], state["resume_token"]) == ("two", 2, 7)
    assert one.left == 0
    assert await one.take({"resume_token": 0}) is None
    with pytest.raises(LeaseLost):
        await one.keep({"resume_token": 0})
    assert (await database["leases"].find_one({"_id": "x"}))["resume_token"] == 7


async def test_lease_taken_again_after_another_term_keeps_the_newer_values(database):
    one, two = Lease(database, "x", holder="one"), Lease(database, "x", holder="two")
    await one.take()
    await one.release()
    await two.take()
    await two.keep({"resume_token": 9})
    await two.release()
    state = await one.take({"resume_token": 1})
    assert (state["holder"], state["term"], state["resume_token"]) == ("one", 3, 9)


async def test_lease_release_allows_another_holder_at_once(database):
    one, two = Lease(database, "x", holder="one"), Lease(database, "x", holder="two")
    await one.take()
    await one.release()
    assert one.left == 0
    assert (await two.take())["holder"] == "two"
    await one.release()  # a release by a former holder changes nothing
    assert await one.take() is None


async def test_lease_expires_for_its_holder_without_the_database(database):
    lease = Lease(database, "x", ttl=0.4)
    await lease.take()
    assert lease.left > 0
    assert lease.vacant_since is None
    await eventually(lambda: lease.left == 0, 5)
    assert lease.vacant_since is not None
    await lease.take()
    assert lease.vacant_since is None


async def test_lease_replaces_a_malformed_document(database):
    await database["leases"].insert_one({"_id": "x", "until": "tomorrow"})
    assert (await Lease(database, "x", holder="one").take())["term"] == 1
