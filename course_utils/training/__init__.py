"""Training and measuring classifiers: fit, evaluate, cached features, stored checkpoints."""

from .checkpoints import (
    CHECKPOINTS,
    Checkpoint,
    CheckpointError,
    load_checkpoint,
    open_checkpoint,
    save_checkpoint,
    tutorial_cnn,
)
from .evaluating import Calibration, ClassScores, Evaluation, Mistake, evaluate
from .features import Features, TrainedHead, backbone_of, extract_features, fit_head
from .fitting import SCHEDULES, History, TrainingError, cosine, fit, frozen, one_cycle

__all__ = [
    "CHECKPOINTS",
    "SCHEDULES",
    "Calibration",
    "Checkpoint",
    "CheckpointError",
    "ClassScores",
    "Evaluation",
    "Features",
    "History",
    "Mistake",
    "TrainedHead",
    "TrainingError",
    "backbone_of",
    "cosine",
    "evaluate",
    "extract_features",
    "fit",
    "fit_head",
    "frozen",
    "load_checkpoint",
    "one_cycle",
    "open_checkpoint",
    "save_checkpoint",
    "tutorial_cnn",
]
