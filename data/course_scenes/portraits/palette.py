"""Colours of people: skin, hair, eyes and clothes that go together.

Skin is a place on a line of eleven tones from light to dark. Hair and eyes are drawn from what is
common for that stretch of the line, grey grows with age, and a dyed head is rare. All colours are
screen colours (sRGB, as in ``#rrggbb``) in the tables and linear light (see
`course_scenes.shading`) in the values that are drawn.
"""

from __future__ import annotations

import numpy as np

from ..drawing import Generator, hsv

#: Skin tones from light to dark. The lightest stays well below white: the lamp adds the rest.
SKIN_TONES = (
    "#efc5aa",
    "#ebb998",
    "#e4ac87",
    "#d99d76",
    "#cb8c64",
    "#b97a53",
    "#a26744",
    "#885335",
    "#6d4029",
    "#533020",
    "#40251a",
)
_MEDIUM_FROM, _DARK_FROM = 3.0, 6.2

#: Natural hair colours and their shares, by stretch of the line of skin tones.
HAIR_COLORS = {
    "light": {
        "#d8b06c": 0.16,  # blond
        "#b48a4e": 0.16,  # dark blond
        "#8a6036": 0.18,  # light brown
        "#5d3d24": 0.20,  # brown
        "#3a2718": 0.14,  # dark brown
        "#a04d1f": 0.08,  # ginger
        "#1f1713": 0.08,  # black
    },
    "medium": {"#4a2f1c": 0.30, "#33221a": 0.30, "#1c1512": 0.30, "#6a4526": 0.10},
    "dark": {"#15110f": 0.55, "#1e1714": 0.35, "#2c1d15": 0.10},
}
DYED_COLORS = ("#a8385f", "#3b5f9a", "#6b4394", "#2f7a62")
_DYED_SHARE = 0.04
_GREY = "#a5a3a0"

#: Colours of the iris. All but the brown ones are common only with light skin.
EYE_COLORS = {
    "light": ("#5b7f9e", "#6f8a9a", "#6f7f5a", "#7a6a4a", "#6b4526", "#53321c"),
    "medium": ("#4a2e1a", "#5b3a20", "#6b4a28"),
    "dark": ("#38230f", "#4a2e1a"),
}


def linear(color: str) -> np.ndarray:
    """``#rrggbb`` to linear light, (3,) in [0, 1]."""
    return np.array([int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)]) ** 2.2


def stretch_of(tone: float) -> str:
    """Which stretch of `SKIN_TONES` a tone lies in: "light", "medium" or "dark"."""
    return "light" if tone < _MEDIUM_FROM else "medium" if tone < _DARK_FROM else "dark"


def draw_tone(rng: Generator) -> float:
    """Place on the line of skin tones, 0 to 10, somewhat more often on the light half."""
    return float(rng.beta(1.0, 1.6) * (len(SKIN_TONES) - 1))


def skin_color(tone: float) -> np.ndarray:
    """Linear colour of a tone between two neighbours of `SKIN_TONES`."""
    lower = min(int(tone), len(SKIN_TONES) - 2)
    share = tone - lower
    screen = [linear(SKIN_TONES[lower + step]) ** (1 / 2.2) for step in (0, 1)]
    return (screen[0] * (1 - share) + screen[1] * share) ** 2.2


def draw_hair_colors(rng: Generator, tone: float, age: float) -> tuple[np.ndarray, np.ndarray]:
    """Linear colours of hair and of brows and beard, which turn grey with age.

    Grey begins at about 45 and is complete at about 72, with large differences between people.
    Brows keep more of their colour and are never dyed.
    """
    table = HAIR_COLORS[stretch_of(tone)]
    natural = linear(str(rng.choice(list(table), p=list(table.values()))))
    grey = float(np.clip((age - 46 + rng.normal(0, 8)) / 26, 0, 1))
    dyed, dye = rng.random() < _DYED_SHARE, linear(str(rng.choice(DYED_COLORS)))
    hair = natural * (1 - grey) + linear(_GREY) * grey
    brows = (natural * (1 - 0.7 * grey) + linear(_GREY) * 0.7 * grey) * 0.7
    return (dye if dyed else hair), brows


def draw_eye_color(rng: Generator, tone: float) -> np.ndarray:
    """Linear colour of the iris."""
    return linear(str(rng.choice(EYE_COLORS[stretch_of(tone)])))


def lip_color(skin: np.ndarray, redness: float) -> np.ndarray:
    """Lips are the skin's colour with less green and blue; `redness` 0 (pale) to 1 (painted)."""
    return skin * (np.array([0.90, 0.66, 0.64]) - redness * np.array([0.04, 0.36, 0.32]))


def draw_cloth_color(rng: Generator) -> list[float]:
    """Linear colour of a garment: any hue, mostly muted."""
    return hsv(rng.random(), rng.uniform(0.08, 0.7), rng.uniform(0.22, 0.82))
