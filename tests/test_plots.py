"""Figures show what they are given: the right boxes on the right strip, in the class's colour."""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

from tdt4265 import plots

CATEGORIES = {1: "car", 7: "person"}
TARGET = {"boxes": torch.tensor([[10.0, 60, 30, 80], [700, 50, 708, 74]]), "labels": torch.tensor([1, 7])}
PREDICTION = {
    "boxes": torch.tensor([[11.0, 61, 30, 80], [400, 50, 420, 60]]),
    "labels": torch.tensor([1, 1]),
    "scores": torch.tensor([0.9, 0.1]),
}


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


@pytest.fixture
def image():
    return torch.rand(3, 128, 1024, generator=torch.Generator().manual_seed(0))


def rectangles(ax):
    return [patch for patch in ax.patches if isinstance(patch, Rectangle)]


def test_panorama_draws_each_box_at_its_pixels(image):
    figure = plots.panorama(image, TARGET["boxes"], TARGET["labels"], categories=CATEGORIES)
    boxes = rectangles(figure.axes[0])
    assert [box.get_bbox().extents.tolist() for box in boxes] == TARGET["boxes"].tolist()
    assert [to_hex(box.get_edgecolor()) for box in boxes] == [plots.colour(1), plots.colour(7)]
    assert figure.axes[0].get_xlim() == (0, 512) and figure.axes[1].get_xlim() == (512, 1024)


def test_detections_below_the_threshold_are_left_out(image):
    figure = plots.detections(image, TARGET, PREDICTION, categories=CATEGORIES, threshold=0.5)
    truth, found = figure.axes[0], figure.axes[1]
    assert len(rectangles(truth)) == 2 and len(rectangles(found)) == 1
    assert [text.get_text() for text in found.texts] == ["0.90"]


def test_channels_are_in_the_images_order(image):
    figure = plots.channels(image)
    for index, ax in enumerate(figure.axes):
        assert ax.get_ylabel().startswith(plots.CHANNELS[index])
        assert torch.equal(torch.as_tensor(ax.images[0].get_array().data), image[index])


def test_detector_fills_the_part_that_changes():
    figure = plots.detector({"image": "3 x 128 x 1024", "backbone": "basic", "head": "3x3"}, changed="head")
    filled = [patch for patch in figure.axes[0].patches if to_hex(patch.get_facecolor()) == "#ffd76b"]
    assert len(filled) == 1


def test_detector_refuses_a_part_it_does_not_know():
    with pytest.raises(ValueError, match="no part of the detector is called 'neck'"):
        plots.detector({"neck": "FPN"})


def test_curves_skip_epochs_without_the_figure():
    figure = plots.curves({"a": [{"epoch": 1, "map": None}, {"epoch": 2, "map": 0.5}]}, ["map"], ["mAP"])
    assert figure.axes[0].lines[0].get_xydata().tolist() == [[2.0, 0.5]]


def test_every_class_has_its_own_colour():
    assert len({plots.colour(label) for label in range(1, 9)}) == 8


def test_precision_recall_has_the_class_colours():
    figure = plots.precision_recall({"person": ([0, 1], [1, 0.5])}, categories=CATEGORIES)
    (line,) = figure.axes[0].lines
    assert line.get_label() == "person" and line.get_color() == plots.colour(7)


def test_comparison_has_a_dot_a_seed_and_a_bar_at_the_mean():
    figure = plots.comparison({"ssd": [0.04, 0.06], "fpn": [0.1]}, "mAP")
    (ax,) = figure.axes
    assert [label.get_text() for label in ax.get_yticklabels()] == ["ssd", "fpn"]
    assert ax.lines[0].get_xdata().tolist() == [0.04, 0.06] and set(ax.lines[1].get_xdata()) == {0.05}
    assert [text.get_text() for text in ax.texts] == ["0.0500  (2)", "0.1000  (1)"]
    assert ax.get_xlim()[0] == 0 and ax.get_xlabel() == "mAP"
    with pytest.raises(ValueError, match="'fpn' has no value to draw"):
        plots.comparison({"ssd": [0.04], "fpn": []}, "mAP")
