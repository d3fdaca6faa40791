"""The README's picture: ``python -m tools.poster`` stores lesson 00's grid of maps for it.

It runs the lesson's cells up to the one tagged ``thumbnail``, in the standard profile on embedded
data, and stores the figure that this one draws as ``.github/poster.jpg``.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LESSON = ROOT / "notebooks" / "00_start_here.ipynb"
TARGET = ROOT / ".github" / "poster.jpg"
WIDTH = 1600


def draw(notebook: Path) -> Any:
    """Run a lesson's cells up to the one tagged ``thumbnail`` and return its `poster`."""
    names: dict[str, Any] = {}
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        tags = cell["metadata"].get("tags", [])
        if cell["cell_type"] == "code" and "bootstrap" not in tags:
            exec(compile("".join(cell["source"]), notebook.name, "exec"), names)
        if "thumbnail" in tags:
            return names["poster"]
    raise LookupError(f"{notebook.name} has no cell tagged 'thumbnail'")


def main() -> int:
    """Draw the poster, `WIDTH` pixels wide."""
    os.environ.update(COURSE_PROFILE="standard", COURSE_DATA_SOURCE="embedded", TQDM_DISABLE="1")
    figure = draw(LESSON)
    TARGET.parent.mkdir(exist_ok=True)
    figure.savefig(
        TARGET,
        dpi=WIDTH / figure.get_figwidth(),
        bbox_inches="tight",
        pil_kwargs={"quality": 86, "optimize": True, "progressive": True},
    )
    print(f"{TARGET.relative_to(ROOT)}: {TARGET.stat().st_size / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
