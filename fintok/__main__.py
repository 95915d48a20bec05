"""The command ``fintok``, also as ``python -m fintok``: what can be interrupted from its first import on."""

import sys


def main() -> None:
    """Run the command line and exit with its code."""
    try:
        from fintok.cli import main as run_command_line
    except KeyboardInterrupt:
        print("fintok: interrupted; nothing was written", file=sys.stderr)
        sys.exit(130)
    run_command_line()


if __name__ == "__main__":
    main()
