"""The command line: ``python -m course_scenes build``, ``… sheet NAME`` and ``… paintings``.

``build --to data/embedded`` renders the archives that come with the course, ``sheet NAME --to
FILE.png`` a contact sheet, ``paintings --to data/paintings`` the paintings.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from . import classes, draw, intervene, interventions, render_scenes
from .build import RECIPES, build
from .paintings import store
from .sheets import color_parts, contact_sheet

FAMILIES = ("vegetables", "smoking", "cifar10", "animals")


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    top = argparse.ArgumentParser(prog="python -m course_scenes", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)

    building = commands.add_parser("build", help="render the embedded archives")
    building.add_argument("--to", type=Path, required=True, help="folder for the archives")
    building.add_argument("--only", nargs="+", choices=sorted(RECIPES), help="some of them")
    building.add_argument("--workers", type=int, default=2, help="processes, one thread each")

    sheet = commands.add_parser("sheet", help="draw a contact sheet, one row a class")
    sheet.add_argument("name", choices=FAMILIES)
    sheet.add_argument("--to", type=Path, required=True, help="PNG file")
    sheet.add_argument("--size", type=int, default=96, help="pixels a side")
    sheet.add_argument("--each", type=int, default=8, help="pictures a class")
    sheet.add_argument("--seed", type=int, default=1)
    sheet.add_argument("--scale", type=int, default=1, help="screen pixels a picture pixel")
    sheet.add_argument("--masks", action="store_true", help="part masks beside the pictures")
    sheet.add_argument("--intervention", help="every picture beside its changed twin")
    sheet.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="for the intervention, such as kind=stone; may be repeated",
    )
    sheet.add_argument("--workers", type=int, default=2)

    painting = commands.add_parser("paintings", help="paint the pictures for style transfer")
    painting.add_argument("--to", type=Path, required=True, help="folder for the JPEG files")
    return top


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    chosen = parser().parse_args(arguments)
    if chosen.command == "sheet":
        draw_sheet(chosen)
        print(chosen.to)
    else:
        building = chosen.command == "build"
        files = build(chosen.to, chosen.only, chosen.workers) if building else store(chosen.to)
        for path in files:
            print(f"{path}  {path.stat().st_size / 1e6:.2f} MB")


def draw_sheet(chosen: argparse.Namespace) -> None:
    """Render and save the contact sheet that the command line asks for."""
    labels = np.arange(len(classes(chosen.name))).repeat(chosen.each)
    scenes = draw(chosen.name, len(labels), chosen.seed, labels=labels)
    plain = render_scenes(scenes, chosen.size, workers=chosen.workers)
    cells = [plain.images]
    if chosen.masks:
        cells.append(color_parts(plain.masks))
    if chosen.intervention:
        options = dict(pair.split("=", 1) for pair in chosen.option)
        if chosen.intervention not in interventions(chosen.name):
            known = ", ".join(interventions(chosen.name))
            raise SystemExit(f"no intervention {chosen.intervention!r}: there are {known}")
        changed = [intervene(scene, chosen.intervention, **options) for scene in scenes]
        cells.append(render_scenes(changed, chosen.size, workers=chosen.workers).images)
    side_by_side = np.stack(cells, 1).reshape(-1, *plain.images.shape[1:])
    contact_sheet(side_by_side, chosen.each * len(cells), chosen.scale).save(chosen.to)


if __name__ == "__main__":
    main()
