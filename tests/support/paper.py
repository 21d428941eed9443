"""A terminal's screen as a grid of cells: just the control sequences that `leaderboard watch` uses."""

from __future__ import annotations

import re

from tornado_app.watch.cells import clusters

_TOKEN = re.compile(r"\x1b\[(\??)([0-9;]*)([A-Za-z])|\r|\n|[^\x1b\r\n]+")


class Paper:
    """What a terminal of this size shows after `write`. A wide sign fills two cells, the second of which is empty."""

    def __init__(self, columns: int, rows: int):
        self.columns, self.rows = columns, rows
        self.cells = [[" "] * columns for _ in range(rows)]
        self.x = self.y = 0
        self.modes: dict[str, bool] = {}

    @property
    def lines(self) -> list[str]:
        return ["".join(row).rstrip() for row in self.cells]

    def write(self, text: str) -> None:
        end = 0
        for token in _TOKEN.finditer(text):
            assert token.start() == end, f"an unknown sequence at {text[end : end + 20]!r}"
            end = token.end()
            if token[0] == "\r":
                self.x = 0
            elif token[0] == "\n":
                assert self.y < self.rows - 1, "the screen would scroll"
                self.y += 1
            elif token[3]:
                self._control(token[1], token[2], token[3])
            else:
                self._put(token[0])
        assert end == len(text)

    def _control(self, private: str, argument: str, name: str) -> None:
        if private:
            self.modes[argument] = name == "h"
        elif name == "H":
            self.x = self.y = 0
        elif name == "G":
            self.x = min(int(argument), self.columns) - 1
        elif name == "K":
            self.cells[self.y][self.x :] = [" "] * (self.columns - self.x)
        elif name == "J":
            for row in self.cells[self.y + 1 :]:
                row[:] = [" "] * self.columns
        else:
            assert name == "m", f"an unknown sequence {name}"

    def _put(self, text: str) -> None:
        for cluster, cells in clusters(text):
            assert self.x + cells <= self.columns, f"{text!r} does not fit"
            if cells == 0:
                continue
            self.cells[self.y][self.x : self.x + cells] = [cluster] + [""] * (cells - 1)
            self.x += cells
