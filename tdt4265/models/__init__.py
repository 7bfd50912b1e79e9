"""Detectors of replaceable parts: picture -> backbone -> (pyramid) -> head -> losses, or detections."""

from .backbones import BasicBackbone, ResNet, group_norm
from .detector import Detector
from .heads import Kaiming, PerLevelHead, SharedDeepHead, Xavier
from .pyramids import FPN, WithPyramid

__all__ = [
    "FPN",
    "BasicBackbone",
    "Detector",
    "Kaiming",
    "PerLevelHead",
    "ResNet",
    "SharedDeepHead",
    "WithPyramid",
    "Xavier",
    "group_norm",
]
