"""Print docs/settings.md, or (`python -m tornado_app.config schema`) the settings as JSON Schema."""

import sys

from tornado_app.config import document, schema

sys.stdout.write(schema.render() if sys.argv[1:] == ["schema"] else document.render())
