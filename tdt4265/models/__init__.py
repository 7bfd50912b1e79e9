"""Detectors of replaceable parts: picture -> backbone -> (pyramid) -> head -> losses, or detections."""

from .backbones import BasicBackbone, ResNet, group_norm
from .detector import Detector
from .heads import Gaussian, Kaiming, PerLevelHead, SharedDeepHead, SigmoidPrior, Xavier
from .pyramids import FPN, WithPyramid

__all__ = [
    "FPN",
    "BasicBackbone",
    "Detector",
    "Gaussian",
    "Kaiming",
    "PerLevelHead",
    "ResNet",
    "SharedDeepHead",
    "SigmoidPrior",
    "WithPyramid",
    "Xavier",
    "group_norm",
]
