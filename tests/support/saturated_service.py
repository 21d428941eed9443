"""`leaderboard` without capacity for updates while the file that SATURATION_FILE names exists."""

import os
import sys
from pathlib import Path

from tornado_app.mongo.players.group_commit import GroupCommit

if __name__ == "__main__":
    from tornado_app.cli.main import main

    GroupCommit.capacity = property(
        lambda self: 0 if Path(os.environ["SATURATION_FILE"]).exists() else 10_000, lambda self, value: None
    )
    sys.exit(main())
