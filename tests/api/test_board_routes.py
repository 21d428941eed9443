"""The prefix `/boards/{board}` of paths."""

import pytest

from tornado_app.api.board_routes import BoardRouter, board_not_found, period_not_found, periods_of, split
from tornado_app.core.boards import ALL_TIME, View
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


@pytest.mark.parametrize(("count", "listed"), [(1, "1"), (10, "1, 2, 3, 4, 5, 6, 7, 8, 9, 10")])
def test_error_of_an_unknown_board_names_the_boards_up_to_ten(count, listed):
    views = [View(str(n), period) for n in range(1, count + 1) for period in (None, ALL_TIME, "weekly")]
    start = "There is no such board. GET /api/v1/boards lists the boards: "
    assert board_not_found("x", views).text == f"{start}{listed}."
    assert board_not_found("x", [View(str(n)) for n in range(1, 101)]).text.endswith(" 9, 10, ….")


def test_error_of_an_unknown_period_names_those_of_the_board():
    views = [
        View("kart"),
        View("kart", ALL_TIME),
        View("main", "season"),
        View("kart", "weekly"),
        View("kart", "daily"),
    ]
    text = period_not_found("x", periods_of("kart", views)).text
    assert text == "The board has no such period. GET /api/v1/periods lists its periods: weekly, daily."
    assert period_not_found("x", periods_of("chess", views)).text == "The board has no periods."
