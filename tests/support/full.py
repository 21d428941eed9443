"""`leaderboard` for whom as many updates wait as may, as long as the file that FULL names is there."""

import os
import sys
from pathlib import Path

from tornado_app.mongo.commit import GroupCommit

if __name__ == "__main__":
    from tornado_app.cli import main

    GroupCommit.full = property(lambda self: Path(os.environ["FULL"]).exists())
    sys.exit(main())
