"""The LiDAR simulator: a world, a sensor, and a folder in COCO format."""

from .folder import copy_labels, generate

__all__ = ["copy_labels", "generate"]
