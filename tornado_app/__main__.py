"""The command `leaderboard`, also as `python -m tornado_app`.

Nothing is imported at the start, so that Ctrl-C during the imports shows no traceback.
"""


def main() -> int:
    """Run `leaderboard`; the exit code, 130 for Ctrl-C."""
    try:
        from tornado_app.cli.main import main as run

        return run()
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    raise SystemExit(main())
