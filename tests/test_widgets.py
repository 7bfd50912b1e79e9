"""Controls of a figure: it is drawn at once and again with every change."""

import matplotlib.pyplot as plt
from ipywidgets import IntSlider

from tdt4265.widgets import explore


def test_a_figure_follows_its_slider():
    drawn = []

    def draw(number):
        drawn.append(number)
        figure, ax = plt.subplots()
        ax.plot([0, number])
        return figure

    slider = IntSlider(2, 1, 5)
    box = explore(draw, number=slider)
    picture = box.children[-1]
    before = bytes(picture.value)
    assert drawn == [2] and before.startswith(b"\x89PNG")
    slider.value = 4
    assert drawn == [2, 4] and bytes(picture.value) != before
    assert not plt.get_fignums()  # no figure stays open
