"""The prefix `/boards/{board}` of paths."""

import pytest

from tornado_app.api.board_routes import BoardRouter, split
from tornado_app.core.boards import View
from tornado_app.core.errors import BoardNotFound
from tornado_app.http.messages import NotFound, Response, Route, Router


def route(path):
    return Route(path, {"GET": lambda request: Response(200)})


@pytest.fixture
def router():
    router = BoardRouter([route("/docs")])
    router.views[View("main")] = Router([route("/api/score")])
    router.views[View("kart")] = Router([route("/api/score"), route("/api/players/{user_id}")])
    return router


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("/api/score", ("main", "/api/score")),
        ("/boards/kart/api/score", ("kart", "/api/score")),
        ("/boards/kart/boards/chess/x", ("kart", "/boards/chess/x")),
        ("/boards/kart/", ("kart", "/")),
        ("/boards/kart", ("kart", "")),
        ("/boards/", ("", "")),
        ("/boards//x", ("", "/x")),
        ("/boards", ("main", "/boards")),
        ("/boardsx/kart/x", ("main", "/boardsx/kart/x")),
        ("", ("main", "")),
    ],
)
def test_split_separates_the_first_prefix_only(path, parts):
    assert split(path) == parts


def test_router_finds_the_route_of_the_board(router):
    found, params = router.find("/boards/kart/api/players/a%2Fb")
    assert (found.path, params) == ("/api/players/{user_id}", {"user_id": "a/b"})
    assert router.find("/boards/kart/api/score")[0] is not router.find("/api/score")[0]


@pytest.mark.parametrize(
    "path", ["/boards/kart/docs", "/boards/kart", "/boards/kart/", "/boards", "/boards/kart/boards/kart/api/score"]
)
def test_router_of_a_path_that_the_board_does_not_have_is_not_found(router, path):
    with pytest.raises(NotFound):
        router.find(path)


@pytest.mark.parametrize(
    "path", ["/boards/chess/api/score", "/boards//api/score", "/boards/", "/boards/Kart/api/score"]
)
def test_router_of_an_unknown_board_is_board_not_found(router, path):
    with pytest.raises(BoardNotFound):
        router.find(path)


def test_error_of_an_unknown_board_has_its_name_for_the_log_only(router):
    with pytest.raises(BoardNotFound) as refusal:
        router.find("/boards/x%0ay/api/score")
    assert refusal.value.detail == "board 'x%0ay' is not in boards_file"
    assert "x%0ay" not in refusal.value.text
