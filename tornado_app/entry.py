"""Where the command starts: nothing is imported yet that Ctrl-C could interrupt with a traceback."""


def main() -> int:
    """Run `leaderboard`; the exit code, 130 for Ctrl-C."""
    try:
        from tornado_app.cli import main as run

        return run()
    except KeyboardInterrupt:
        return 130
