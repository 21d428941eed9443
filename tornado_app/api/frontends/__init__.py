"""One module per front end of the API contract; a new one is a new module and a line here."""

from tornado_app.api.frontends import a, b, c, d, e
from tornado_app.api.frontends.base import Face

FACES: tuple[Face, ...] = (a.FACE, b.FACE, c.FACE, d.FACE, e.FACE)
