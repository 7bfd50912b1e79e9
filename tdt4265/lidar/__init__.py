"""The LiDAR simulator: a world, a sensor, and a folder in COCO format."""

from .folder import CLIPS, STREETS, copy_labels, generate

__all__ = ["CLIPS", "STREETS", "copy_labels", "generate"]
