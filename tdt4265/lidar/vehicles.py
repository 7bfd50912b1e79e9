"""One function a class of vehicle, each `(rng, palette) -> Mesh`: one vehicle of a random form and look.

Origin on the ground below the middle, front along +x, metres.
"""

from .cars import make_car
from .large_vehicles import make_bus, make_truck
from .two_wheelers import make_bicycle, make_motorcycle, make_scooter

__all__ = ["make_bicycle", "make_bus", "make_car", "make_motorcycle", "make_scooter", "make_truck"]
