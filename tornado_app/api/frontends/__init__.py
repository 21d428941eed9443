"""The frontends, one module for each. A new one is a new module and a line here."""

from tornado_app.api.frontends import a, b, c, d, e, f
from tornado_app.api.frontends.base import Frontend

FRONTENDS: tuple[Frontend, ...] = (a.FRONTEND, b.FRONTEND, c.FRONTEND, d.FRONTEND, e.FRONTEND, f.FRONTEND)
