"""Several boards in `boards_file`."""

import pytest

from tests.support.service import KEY
from tornado_app.config import Config
from tornado_app.core.boards import MAIN, Board
from tornado_app.core.errors import StartupError
from tornado_app.core.periods import Period
from tornado_app.service.service import Service


async def test_service_with_several_boards_does_not_start():
    with pytest.raises(StartupError, match="serves the board main only; take the others out"):
        await Service(Config(jwt_key=KEY, boards=(MAIN, Board("kart")))).start()


async def test_service_with_a_period_does_not_start():
    with pytest.raises(StartupError, match="periods are not supported by this version; leave them out"):
        await Service(Config(jwt_key=KEY, boards=(Board(periods=(Period("weekly"),)),))).start()
