"""Object detection on 360-degree LiDAR panoramas: the package that the notebooks of the course import."""

__version__ = "0.1.0"


def load(what, **options):
    """A trained detector, ready for `tdt4265.detect.detect`: see `tdt4265.weights.load`."""
    from tdt4265 import weights  # brings torch and all models, which the rest of the package may do without

    return weights.load(what, **options)
