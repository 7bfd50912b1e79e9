"""The LiDAR simulator: a world, a sensor, and a folder in COCO format."""

from .folder import CLIPS, STREETS, copy_labels, generate, is_stale

__all__ = ["CLIPS", "STREETS", "copy_labels", "generate", "is_stale"]
