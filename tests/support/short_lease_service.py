"""`leaderboard` with a ledger lease of one second, so that a test does not wait six seconds after each crash."""

import sys

from tornado_app.mongo.ledger import lease

lease.TTL = 1.0

if __name__ == "__main__":
    from tornado_app.cli.main import main  # takes the lease's time over when it is imported

    sys.exit(main())
