"""The LiDAR simulator: a world, a sensor, and a folder in COCO format."""

from .folder import generate

__all__ = ["generate"]
