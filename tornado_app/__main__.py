"""`python -m tornado_app` is `leaderboard`."""

from tornado_app.entry import main

raise SystemExit(main())
