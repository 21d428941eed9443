"""`leaderboard` with a ledger lease and a `ledger_retention` of one second, for tests of crashes during a fold."""

import sys

from tornado_app.mongo.ledger import lease, retention

lease.TTL = 1.0
retention.PASSES = 10
retention.SHARE = 0.9

if __name__ == "__main__":
    from tornado_app.cli.main import main  # takes the lease's time over when it is imported
    from tornado_app.mongo.ledger.writer import LedgerWriter
    from tornado_app.service import wiring

    wiring.LedgerWriter = lambda *given, **named: LedgerWriter(*given, **named | {"retention": 1.0})
    sys.exit(main())
