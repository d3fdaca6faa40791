"""The README's picture: ``python -m tools.poster`` draws lesson 00's poster for it.

The stored notebook holds the poster as wide as a page. This draws the same figure larger: it runs
the lesson's cells up to the one tagged ``thumbnail``, in the standard profile on embedded data.
"""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Any

from tools import tasks

LESSON = "00_start_here.ipynb"
TARGET = tasks.ROOT / ".github" / "poster.jpg"
WIDTH, MAX_BYTES = 1600, 500_000


def draw(notebook: Path) -> Any:
    """Run a lesson's cells up to the one tagged ``thumbnail`` and return the figure it draws."""
    from course_utils import plots
    from tools import normalize

    names: dict[str, Any] = {}
    for cell in normalize.read(notebook).cells:
        if cell.cell_type != "code" or "bootstrap" in cell.metadata.get("tags", []):
            continue
        exec(compile(cell.source, notebook.name, "exec"), names)
        if "thumbnail" in cell.metadata.get("tags", []):
            return next(v for v in reversed(names.values()) if isinstance(v, plots.CourseFigure))
    raise LookupError(f"{notebook.name} has no cell tagged 'thumbnail'")


def encode(figure: Any) -> bytes:
    """Render a figure `WIDTH` pixels wide as JPEG, as good as fits into `MAX_BYTES`."""
    from PIL import Image

    from course_utils.plots.canvas import to_png

    figure.set_dpi(WIDTH / figure.get_figwidth())
    picture = Image.open(io.BytesIO(to_png(figure)))
    for quality in range(92, 50, -4):
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=quality, optimize=True, progressive=True)
        if buffer.tell() <= MAX_BYTES:
            return buffer.getvalue()
    raise ValueError(f"the poster takes more than {MAX_BYTES:,} bytes even as a poor JPEG")


def main() -> int:
    """Draw the poster."""
    os.environ.update(COURSE_PROFILE="standard", COURSE_DATA_SOURCE="embedded", TQDM_DISABLE="1")
    content = encode(draw(tasks.ROOT / "notebooks" / LESSON))
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_bytes(content)
    tasks.say(f"{tasks.shown(TARGET)}: {len(content) / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
