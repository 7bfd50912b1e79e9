"""Figures show what they are given: the right boxes on the right strip, in the class's colour."""

import json

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import pandas as pd
import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

from tdt4265 import plots
from tdt4265.anchors import Anchors
from tdt4265.paths import assets

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
    assert [text.get_text() for text in found.texts] == ["car 0.90"]


def test_a_panorama_is_cut_and_gray_and_a_photograph_is_whole_and_in_colour(image):
    photograph = torch.rand(3, 480, 640)
    figure = plots.panorama(photograph, TARGET["boxes"], TARGET["labels"], categories=CATEGORIES)
    (ax,) = figure.axes
    assert ax.images[0].get_array().shape == (480, 640, 3)
    assert figure.get_figheight() < 8 and figure.get_figwidth() <= plots.WIDTH
    whole, cut = (plots.detections(one, TARGET, PREDICTION, categories=CATEGORIES) for one in (photograph, image))
    assert len(whole.axes) == 2 and len(cut.axes) == 4
    assert whole.axes[0].get_xlim() == whole.axes[1].get_xlim() == (0, 640)
    assert [ax.get_xlim() for ax in cut.axes] == [(0, 512), (0, 512), (512, 1024), (512, 1024)]
    assert len(plots.hits_and_misses(photograph, TARGET, PREDICTION, categories=CATEGORIES).axes) == 1


def test_texts_do_not_cover_each_other_and_stay_in_the_picture(image):
    boxes = torch.tensor([[100.0, 40, 110, 70], [104, 40, 114, 70], [102, 40, 112, 70], [500, 3, 512, 90]])
    scores = torch.tensor([0.9, 0.8, 0.7, 0.6])
    figure = plots.panorama(image, boxes, torch.tensor([7, 7, 7, 1]), scores, categories=CATEGORIES)
    top, bottom = figure.axes
    figure.canvas.draw()
    assert [text.get_text() for text in top.texts] == ["person 0.90", "person 0.80", "car 0.60"]  # no room for a third
    assert not bottom.texts
    places = [text.get_window_extent() for text in top.texts]
    assert not any(one.overlaps(other) for n, one in enumerate(places) for other in places[:n])
    inside = top.get_window_extent()
    assert all(inside.x0 - 1 <= place.x0 and place.x1 <= inside.x1 + 1 for place in places)


def test_masks_and_keypoints_are_drawn_at_their_pixels(image):
    masks = torch.zeros(1, 128, 1024)
    masks[0, 60:80, 10:20] = 1
    keypoints = torch.zeros(1, 17, 3)
    keypoints[0, [0, 5, 6]] = torch.tensor([[3.0, 3, 0], [12, 64, 2], [17, 64, 1]])
    found = {"masks": masks, "keypoints": keypoints}
    figure = plots.panorama(image, TARGET["boxes"][:1], torch.tensor([7]), **found, categories=CATEGORIES)
    ax = figure.axes[0]
    tint = torch.as_tensor(ax.images[1].get_array().data)
    assert torch.equal(tint[..., 3] > 0, masks[0] > 0)
    limb, dots = ax.lines
    assert sorted(limb.get_xdata()) == [12.5, 17.5] == sorted(dots.get_xdata())  # the first is not labelled
    assert ax.get_xlim() == (0, 512)


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


def test_recorded_runs_have_an_interval_and_a_dot_a_seed():
    rows = {
        "ssd": {"mAP": 0.1, "low": 0.08, "high": 0.13, "seeds": [0.09, 0.11], "car": 0.4, "bus": 0.2},
        "fpn": {"mAP": 0.2, "low": 0.15, "high": 0.22, "seeds": [0.2], "car": 0.5, "bus": 0.3},
    }
    figure = plots.recorded(pd.DataFrame.from_dict(rows, orient="index"))
    left, right = figure.axes
    assert [label.get_text() for label in left.get_yticklabels()] == ["ssd", "fpn"]
    assert [segment[:, 0].tolist() for segment in left.collections[0].get_segments()] == [[0.08, 0.13], [0.15, 0.22]]
    assert [line.get_xdata().tolist() for line in left.lines] == [[0.1, 0.2], [0.09, 0.11], [0.2]]
    assert [label.get_text() for label in right.get_yticklabels()] == ["car", "bus"]
    assert [line.get_xdata().tolist() for line in right.lines] == [[0.4, 0.2], [0.5, 0.3]]


def test_hits_false_alarms_and_misses_are_told_apart(image):
    boxes = torch.tensor([[10.0, 40, 60, 90], [200, 40, 230, 90], [400, 10, 420, 60]])
    target = {"boxes": boxes[:2], "labels": torch.tensor([1, 7])}
    found = {"boxes": boxes, "labels": torch.tensor([1, 1, 1]), "scores": torch.tensor([0.9, 0.8, 0.2])}
    figure = plots.hits_and_misses(image, target, found, categories={1: "car", 7: "person"})
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert labels == ["1 hit", "1 false alarm", "1 missed"]  # what scores 0.2 is left out
    colours = [to_hex(box.get_edgecolor()) for box in rectangles(figure.axes[0])]
    assert colours == [plots.VERDICTS[name] for name in ("hit", "false alarm", "missed")]
    assert [text.get_text() for text in figure.axes[0].texts] == ["car"]  # what the false alarm was taken for


def test_covered_boxes_are_told_from_the_others_and_levels_are_numbered():
    boxes = torch.tensor([[0.0, 0, 10, 20], [0, 0, 30, 20], [5, 5, 8, 15]])
    anchors = Anchors((4, 8), (((20, 10),), ((16, 16), (32, 8))))
    best = {"these": torch.tensor([0.9, 0.5, 0.2]), "others": torch.tensor([0.4, 0.6, 0.7])}
    left, right = plots.covered(boxes, anchors, best).axes
    reached, missed, first, second = left.lines
    assert reached.get_xydata().tolist() == [[10, 20], [30, 20]] and missed.get_xydata().tolist() == [[3, 10]]
    assert first.get_xydata().tolist() == [[10, 20]] and second.get_xydata().tolist() == [[16, 16], [8, 32]]
    assert (first.get_marker(), second.get_marker()) == ("$0$", "$1$")
    assert [line.get_label() for line in right.lines[:2]] == ["these: 67% at 0.5", "others: 67% at 0.5"]
    share = right.lines[0].get_ydata()
    assert share[0] == 1 and share[50] == pytest.approx(2 / 3) and share[-1] == 0


def test_fusion_graphs_have_an_arrow_for_each_input_and_a_dot_for_each_node():
    down = {(1, 1): [(0, 1)], (1, 0): [(0, 0), (1, 1)]}
    both = {**down, (2, 0): [(1, 0)], (2, 1): [(0, 1), (1, 1), (2, 0)]}
    figure = plots.fusion_graphs({"down": down, "both": both})
    assert [ax.get_title() for ax in figure.axes] == ["down", "both"]
    arrows = [[(text.xyann, text.xy) for text in ax.texts] for ax in figure.axes]
    assert arrows[0] == [((0, 1), (1, 1)), ((0, 0), (1, 0)), ((1, 1), (1, 0))] and len(arrows[1]) == 7
    assert [len(ax.lines) for ax in figure.axes] == [4, 6]
    colours = [to_hex(text.arrow_patch.get_edgecolor()) for text in figure.axes[1].texts]
    assert len({colours[0], colours[2], colours[6]}) == 3 and colours[0] == colours[1] == colours[4]


def test_seam_puts_both_edges_together(image):
    target = {"boxes": torch.tensor([[1000.0, 60, 1024, 80], [0, 60, 10, 80], [500, 50, 520, 74]])}
    target["labels"] = torch.tensor([1, 1, 7])
    found = {"boxes": torch.tensor([[1000.0, 60, 1034, 80], [5, 5, 9, 9]]), "labels": torch.tensor([1, 7])}
    found["scores"] = torch.tensor([0.9, 0.1])
    figure = plots.seam(image, target, {"one": found, "other": found}, categories=CATEGORIES)
    assert [ax.get_title(loc="right") for ax in figure.axes] == ["one", "other"]
    for ax in figure.axes:
        drawn = {(patch.get_x(), patch.get_width(), patch.get_linestyle() == "solid") for patch in rectangles(ax)}
        assert drawn == {(-24, 24, False), (0, 10, False), (-24, 34, True)}
        shown = ax.images[0].get_array()
        assert (shown == torch.cat([image[0, :, -128:], image[0, :, :128]], dim=1).numpy()).all()


def test_views_show_each_image_with_its_own_boxes(image):
    none = torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64)
    panels = [("one", image, TARGET["boxes"], TARGET["labels"]), ("two", image[:, :, :512], *none)]
    figure = plots.views(panels, columns=2)
    one, two = figure.axes
    assert len(rectangles(one)) == 2 and not rectangles(two)
    assert one.get_title(loc="left") == "one" and one.get_xlim() == (0, 1024) and two.get_xlim() == (0, 512)


def test_pixel_values_have_a_histogram_a_channel_and_means_by_row(image):
    *channels, by_row = plots.pixel_values(image[None], (0.1, 0.2, 0.3)).axes
    assert [ax.get_title() for ax in channels] == list(plots.CHANNELS)
    assert channels[1].lines[0].get_xdata()[0] == 0.2 * 255
    assert len(by_row.lines) == 4 and len(by_row.lines[0].get_ydata()) == image.shape[1]


@pytest.fixture
def labels():
    """Nine cars and three persons, of which plots draw every third."""
    names = ["car"] * 9 + ["person"] * 3
    frame = pd.DataFrame({"category": names, "x": range(12), "y": 60.0, "width": 10.0, "height": 20.0})
    return frame.assign(area=frame.width * frame.height)


def test_box_sizes_leave_out_classes_without_a_box(labels):
    left, right = plots.box_sizes(labels, {**CATEGORIES, 2: "truck"}).axes
    assert [text.get_text() for text in left.get_legend().get_texts()] == ["car", "person"]
    assert len(left.lines[0].get_xdata()) == 3
    assert [text.get_text() for text in right.get_xticklabels()] == ["car", "person"]


def test_box_places_draw_the_lower_side_and_the_columns(labels):
    car, columns = plots.box_places(labels, labels, {"car": ([5, 50], [70, 120], "a curve")}, CATEGORIES).axes
    assert car.lines[0].get_xydata().tolist() == [[20, 80]] * 3
    assert car.lines[1].get_xydata().tolist() == [[5, 70], [50, 120]]
    assert sum(patch.get_height() for patch in columns.patches) == 9  # the persons have no curve


def test_anchor_use_has_a_bar_a_class_and_a_shape():
    anchors = Anchors((4, 8), (((20, 10),), ((16, 16), (32, 8))))
    missed = pd.Series({"car": 0.2, "person": 0.5})
    left, right = plots.anchor_use(missed, 0.3, [0.5, 0.3, 0.2], anchors, CATEGORIES).axes
    assert [bar.get_width() for bar in left.patches] == [0.2, 0.5]
    assert [to_hex(bar.get_facecolor()) for bar in left.patches] == [plots.colour(1), plots.colour(7)]
    assert [text.get_text() for text in right.get_xticklabels()] == ["10 x 20", "16 x 16", "8 x 32"]


def test_through_layers_draws_both_ways_and_the_prediction_above():
    measured = {"wide": ([1, 2, 4], [4, 2, 1]), "narrow": ([1, 0.5, 0.25], [0.25, 0.5, 1])}
    figure = plots.through_layers({"plain": measured, "with norm": measured}, ["in", "1", "2"], measured)
    signal, gradient, *below = figure.axes
    assert [len(ax.lines) for ax in (signal, gradient, *below)] == [4, 4, 2, 2]
    assert gradient.lines[0].get_ydata().tolist() == [4, 2, 1] and signal.get_yscale() == "log"
    assert [text.get_text() for text in signal.get_legend().get_texts()] == ["wide", "narrow", "predicted"]


def test_over_marks_and_shades():
    curves = {"loss": [3, 2, 1], "share": [0.1, 0.2, 0.3]}
    loss, share = plots.over([0, 1, 2], curves, "variance", span=(0.5, 1), marks={"share": (0.25, "the report")}).axes
    assert loss.get_ylabel() == "loss" and len(loss.lines) == 1 and len(share.lines) == 2
    assert [text.get_text() for text in share.texts] == ["the report"] and not loss.texts
    assert len(loss.patches) == len(share.patches) == 1


def test_cells_that_share_a_mean_are_coloured():
    together = torch.zeros(2, 3, 2, dtype=torch.bool)
    together[-1, 0] = True
    figure = plots.sharing_cubes({"InstanceNorm": together})
    (ax,) = figure.axes
    # the upper of the two cells is the one asked about; of the lower one, two of its six faces lie outside
    colours = [to_hex(faces.get_facecolor()[0]) for faces in ax.collections]
    assert ax.get_title() == "InstanceNorm" and colours.count("#4f8dff") == 1 and colours.count("#12305f") == 1
    assert len(colours) == 12  # every cell of so small a cube is seen from outside


def test_loss_shares_begin_with_the_easiest_anchors_and_end_with_the_whole_loss():
    loss, positive = torch.tensor([1.0, 3, 4, 2]), torch.tensor([True, True, False, False])
    easiest, background, hardest = plots.loss_shares({"one": loss}, positive).axes
    assert easiest.lines[0].get_ydata().tolist() == [0.25, 1]
    assert background.lines[0].get_ydata() == pytest.approx([1 / 3, 1])
    assert hardest.lines[0].get_ydata() == pytest.approx([2 / 3, 1])


def test_grids_write_the_values_of_each_map():
    maps = {"C1": torch.tensor([[1.0, 0], [0, 2]]), "C2": torch.tensor([[3.0]])}
    axes = plots.grids(maps, columns=2).axes
    assert [[text.get_text() for text in ax.texts] for ax in axes] == [["1", "0", "0", "2"], ["3"]]
    assert [ax.get_title() for ax in axes] == ["C1", "C2"]


def test_sensitivity_is_relative_to_the_largest_of_a_panel():
    squares = torch.zeros(8, 64)
    squares[4, 10] = 9.0
    upper, lower, _bar = plots.sensitivity({"one": squares, "a hundred times": 1e4 * squares}).axes
    for ax in (upper, lower):
        shown = ax.images[0].get_array()
        assert shown.max() == pytest.approx(1) and shown[4, 10] == pytest.approx(1)
    assert lower.get_title(loc="left") == "a hundred times"


def test_each_box_has_the_colour_of_its_level():
    boxes = pd.DataFrame({"width": [5, 30, 6], "height": [20, 40, 21]})
    left, right = plots.box_levels(boxes, [0, 1, 0], (4, 8), {"boxes": [2 / 3, 1 / 3], "anchors": [0.8, 0.2]}).axes
    assert [line.get_xdata().tolist() for line in left.lines] == [[5, 6], [30]]
    assert [line.get_color() for line in left.lines] == [plots.colour(label) for label in plots.LEVEL_LABELS[:2]]
    assert [bar.get_height() for bar in right.patches] == pytest.approx([2 / 3, 1 / 3, 0.8, 0.2])


def test_closeups_show_what_each_panel_has_of_its_part():
    image, labels = torch.rand(3, 128, 1024), torch.tensor([1, 7])
    boxes = torch.tensor([[10.0, 20, 30, 60], [30, 20, 40, 60]])
    points = torch.zeros(2, 17, 3)
    points[1, 0] = torch.tensor([35.0, 22, 2])
    masks = torch.zeros(2, 128, 1024)
    masks[0, 30:40, 12:20] = 1
    known = {"labels": labels, "boxes": boxes}
    more = {"labels": labels, "masks": masks, "keypoints": points}
    figure = plots.closeups(
        [("boxes", image, known, (0, 10, 50, 70)), ("more", image, more, (5, 10, 55, 70))], categories={1: "car"}
    )
    first, second, empty = figure.axes
    assert (first.get_xlim(), first.get_ylim()) == ((0, 50), (70, 10)) and second.get_xlim() == (5, 55)
    assert (len(first.patches), len(second.patches)) == (2, 0)
    assert (len(first.images), len(second.images)) == (1, 2) and len(second.lines) == 1
    assert [text.get_text() for text in first.get_legend().get_texts()] == ["car", "7"]
    assert not empty.axison
    (left,) = plots.closeups([("", image, known, (0, 10, 25, 70))], columns=1, categories={1: "car"}).axes
    assert [text.get_text() for text in left.get_legend().get_texts()] == ["car"]  # the other lies outside


def test_limbs_are_those_of_the_labels():
    content = json.loads((assets() / "sample" / "val_keypoints.json").read_text())
    skeletons = [one["skeleton"] for one in content["categories"] if "skeleton" in one]
    assert skeletons and all(sorted(plots.LIMBS) == sorted((a - 1, b - 1) for a, b in one) for one in skeletons)
