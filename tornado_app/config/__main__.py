"""Print docs/settings.md."""

import sys

from tornado_app.config.document import render

sys.stdout.write(render())
