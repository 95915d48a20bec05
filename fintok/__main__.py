"""``python -m fintok`` is the command ``fintok``."""

from fintok.cli import main

if __name__ == "__main__":
    main()
