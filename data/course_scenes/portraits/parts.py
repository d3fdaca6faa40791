"""Part ids in the masks of portraits."""

SKIN, HAIR, EYES, MOUTH, CLOTHES, HAND, CIGARETTE, SMOKE, OTHER_OBJECT = range(1, 10)

#: Id to what it is; brows and beard count as hair, hat and glasses as clothes, the steam of a mug
#: as the other object.
PARTS = {
    SKIN: "skin",
    HAIR: "hair",
    EYES: "eyes",
    MOUTH: "mouth",
    CLOTHES: "clothes",
    HAND: "hand",
    CIGARETTE: "cigarette",
    SMOKE: "smoke",
    OTHER_OBJECT: "other object",
}
