"""``python -m scoreboard``, see `run`: worker processes find its functions there."""

import sys

from .run import main

if __name__ == "__main__":
    sys.exit(main())
