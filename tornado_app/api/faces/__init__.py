"""One module per front end of the API contract; a new one is a new module and a line here."""

from tornado_app.api.face import Face
from tornado_app.api.faces import a, b, c, d, e

FACES: tuple[Face, ...] = (a.FACE, b.FACE, c.FACE, d.FACE, e.FACE)
