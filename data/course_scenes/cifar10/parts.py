"""Part ids of the masks of all ten classes."""

BACKGROUND = 0
BODY, HEAD, EARS, EYES, LEGS, TAIL, MANE, ANTLERS, BEAK, WINGS = range(1, 11)
WHEELS, WINDOWS, CAB, CARGO, DECKHOUSE, MAST, SAIL, ENGINE, LIGHTS = range(11, 20)

PARTS = {
    BACKGROUND: "background",
    BODY: "body",
    HEAD: "head",
    EARS: "ears",
    EYES: "eyes",
    LEGS: "legs",
    TAIL: "tail",
    MANE: "mane",
    ANTLERS: "antlers",
    BEAK: "beak",
    WINGS: "wings",
    WHEELS: "wheels",
    WINDOWS: "windows",
    CAB: "cab",
    CARGO: "cargo",
    DECKHOUSE: "deckhouse",
    MAST: "mast or funnel",
    SAIL: "sail",
    ENGINE: "engine or propeller",
    LIGHTS: "lights",
}
