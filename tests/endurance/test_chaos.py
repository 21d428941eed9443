"""A short chaos run. `python -m tests.endurance.chaos` is the long one."""

import pytest
from pymongo import MongoClient

from tests.endurance import chaos

SEED = 20261130


@pytest.mark.timeout(300)
async def test_store_answers_are_borne_out_by_the_oplog_under_faults(three_members):
    run = chaos.Chaos(three_members, 4000, SEED)
    problems = await run.run()
    assert problems == [], f"python -m tests.endurance.chaos --seed {SEED}: {chaos.summary(run)}"
    assert sum(run.faults.values()) > 0
    assert sum(len(sent.receipts) for sent in run.sent) > 500
    _spoil(three_members)
    assert len(list(chaos.problems(three_members, run.sent))) >= 3


def _spoil(replica_set):
    """What no run must pass over: a score, a doubled action, and an action that nothing was sent for."""
    with MongoClient(replica_set.uri) as client:
        players = client[chaos.NAME]["players"]
        one, other = players.find().sort("_id", 1).limit(2)
        players.update_one({"_id": one["_id"]}, {"$inc": {"score": 1}})
        text = other["h"][str(other["seq"])]
        again = {f"h.{other['seq'] + 1}": text, "seq": other["seq"] + 1}
        players.update_one({"_id": other["_id"]}, {"$set": again})
        players.update_one({"_id": other["_id"]}, {"$set": {f"h.{other['seq'] + 2}": text.replace("action-", "none-")}})
