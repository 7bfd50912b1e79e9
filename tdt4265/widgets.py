"""Controls for a notebook's figures, of core ipywidgets alone, so that they work in JupyterLab, Colab and VS Code."""

from __future__ import annotations

import io
from collections.abc import Callable

import ipywidgets
import matplotlib.pyplot as plt
from matplotlib.figure import Figure


def explore(draw: Callable[..., Figure], **controls: ipywidgets.ValueWidget) -> ipywidgets.VBox:
    """Controls above a figure that is drawn anew whenever one of them changes.

    `ipywidgets.interact` does the same but hangs papermill now and then, so the figure is a picture here.

    Args:
        draw: called with the value of each control by its name; the figure it returns is shown and closed.
        controls: sliders, menus, boxes to tick.
    """
    picture = ipywidgets.Image(format="png")

    def update(_change=None):
        figure = draw(**{name: control.value for name, control in controls.items()})
        content = io.BytesIO()
        figure.savefig(content, format="png", dpi=80)
        plt.close(figure)
        picture.value = content.getvalue()

    for control in controls.values():
        control.observe(update, names="value")
    update()
    return ipywidgets.VBox([*controls.values(), picture])
