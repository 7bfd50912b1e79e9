"""Detectors of replaceable parts: image -> backbone -> (pyramid) -> head -> losses, or detections."""

from .backbones import BasicBackbone, CutResNet, NarrowBackbone, ResNet, Timm
from .detector import Detector
from .heads import Head
from .initialization import Gaussian, Kaiming, Xavier, initialize
from .norms import NORMS, group_norm
from .pyramids import FPN, BiFPN, ResizedFPN
from .ring_detector import RingDetector
from .two_stage import add_keypoints, add_masks, faster_rcnn

__all__ = [
    "FPN",
    "NORMS",
    "BasicBackbone",
    "BiFPN",
    "CutResNet",
    "Detector",
    "Gaussian",
    "Head",
    "Kaiming",
    "NarrowBackbone",
    "ResNet",
    "ResizedFPN",
    "RingDetector",
    "Timm",
    "Xavier",
    "add_keypoints",
    "add_masks",
    "faster_rcnn",
    "group_norm",
    "initialize",
]
