"""Assignments: from one master to what students get, and from what they send to grades.

`masters` reads a master and makes its release; `repair` finds the tasks in whatever comes back;
`runner` grades one submission with nbgrader in a process of its own; `report` writes grades.csv and
the pages of feedback; ``python -m tools.grading`` puts them together.
"""

import os
import sys
from pathlib import Path

# nbgrader calls `alembic` by name, also where the environment is not activated
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
