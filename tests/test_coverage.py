"""Coverage against a search over every anchor, and makers of anchors against what they promise."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torchvision.ops import box_iou

from tdt4265 import coverage, data, paths
from tdt4265.anchors import Anchors, in_proportion
from tdt4265.recipes import ALL_RECIPES, SSD_ANCHORS

SIZE = (128, 1024)
RETINANET = ALL_RECIPES["retinanet"].anchors


@pytest.fixture(scope="module")
def boxes():
    """All boxes of every 20th frame of the simulated clips: float32 [G, 4], xyxy."""
    table = data.read_labels(paths.assets() / "sim_labels" / "train_annotations.json").boxes()
    table = table[table.frame % 20 == 0]
    xywh = torch.tensor(table[["x", "y", "width", "height"]].to_numpy(), dtype=torch.float32)
    return torch.cat([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], dim=1)


@pytest.fixture(scope="module")
def sizes(boxes):
    return (boxes[:, 2:] - boxes[:, :2]).flip(1).double().numpy()  # height, width


@pytest.mark.parametrize("anchors", [SSD_ANCHORS, RETINANET, Anchors((16.5, 40.0), (((9, 5),), ((20, 80), (64, 64))))])
def test_the_nearest_anchor_of_a_kind_is_the_best_of_all(boxes, anchors):
    some = boxes[:300]
    found = coverage.iou_by_kind(some, anchors, SIZE)
    assert found.shape == (len(some), sum(anchors.num_anchors_per_location()))
    shapes = anchors.grid_shapes(SIZE)
    everything = box_iou(some, anchors(shapes))
    start, kinds = 0, []
    for (rows, columns), number in zip(shapes, anchors.num_anchors_per_location(), strict=True):
        level = everything[:, start : start + rows * columns * number]
        kinds.append(level.reshape(len(some), -1, number).amax(dim=1))
        start += rows * columns * number
    torch.testing.assert_close(found, torch.cat(kinds, dim=1))


def test_recall():
    assert coverage.recall(torch.tensor([0.2, 0.5, 0.9, 0.4]), (0.4, 0.5, 0.95)) == [0.75, 0.5, 0.0]


def test_shape_iou_is_that_of_boxes_of_one_centre(sizes):
    one, other = sizes[:50], sizes[50:90]

    def centred(shapes):
        shapes = torch.as_tensor(shapes).flip(1)
        return torch.cat([-shapes / 2, shapes / 2], dim=1)

    wanted = box_iou(centred(one), centred(other)).numpy()
    np.testing.assert_allclose(coverage.shape_iou(one, other), wanted, atol=1e-12)


def test_kmeans_finds_clusters_that_are_there():
    generator = np.random.default_rng(0)
    centres = np.array([[10.0, 4], [20, 22], [60, 90]])
    sizes = np.concatenate([centre * generator.uniform(0.95, 1.05, (200, 2)) for centre in centres])
    np.testing.assert_allclose(coverage.kmeans_iou(sizes, 3, seed=1), centres, rtol=0.02)
    with pytest.raises(ValueError, match="3 clusters of 1 different sizes"):
        coverage.kmeans_iou(np.ones((9, 2)), 3)


def test_each_step_of_the_search_covers_more(sizes):
    start = coverage.kmeans_iou(sizes, 9)
    evolved = coverage.evolve(sizes, start, generations=200)
    assert evolved.shape == start.shape and (np.diff(evolved.prod(1)) >= 0).all()
    assert coverage.fitness(sizes, evolved) > coverage.fitness(sizes, start)
    assert np.array_equal(coverage.evolve(sizes, start, generations=50), coverage.evolve(sizes, start, generations=50))


def test_sizes_go_to_the_levels_from_small_to_large():
    made = coverage.by_size(np.array([[40.0, 40], [4, 4], [9, 9]]), (4, 8), (2, 1))
    assert made == Anchors((4, 8), (((4.0, 4.0), (9.0, 9.0)), ((40.0, 40.0),)))
    with pytest.raises(ValueError, match="3 sizes for 4 places on the levels"):
        coverage.by_size(np.ones((3, 2)), (4, 8), (2, 2))


def test_gradient_descent_covers_more_with_as_many_anchors(boxes):
    made = coverage.optimise(boxes, RETINANET, SIZE, steps=60)
    assert made.num_anchors_per_location() == RETINANET.num_anchors_per_location() and made.strides == RETINANET.strides

    def uncovered(anchors):
        return 1 - coverage.recall(coverage.iou_by_kind(boxes, anchors, SIZE).amax(dim=1))[0]

    assert uncovered(made) < 0.6 * uncovered(RETINANET)


def test_only_the_levels_that_may_change_do(boxes):
    made = coverage.optimise(boxes, RETINANET, SIZE, levels=[0], threshold=0.6, steps=60)
    assert all(made.sizes[level] == tuple(RETINANET.sizes[level]) for level in range(1, 6))
    best = [coverage.iou_by_kind(boxes, anchors, SIZE).amax(dim=1) for anchors in (made, RETINANET)]
    assert coverage.recall(best[0], [0.6])[0] > coverage.recall(best[1], [0.6])[0] + 0.15


def test_shapes_in_proportion_cover_more(boxes):
    square = [(2.0, 2.0), (4.0, 4.0), (3.0, 1.0)]
    made = coverage.optimise_shapes(boxes, SSD_ANCHORS.strides, square, SIZE, steps=60)
    covered = [
        coverage.recall(coverage.iou_by_kind(boxes, in_proportion(SSD_ANCHORS.strides, shapes), SIZE).amax(dim=1))[0]
        for shapes in (made, square)
    ]
    assert len(made) == 3 and covered[0] > covered[1] + 0.05


def test_the_recipe_has_the_anchors_that_descent_finds(boxes):
    """The recipe's are those of all frames; these are of every 20th, so nearly the same."""
    made = coverage.optimise(boxes, RETINANET, SIZE, levels=[0], threshold=0.6)
    tuned = ALL_RECIPES["anchor_tuning"].anchors
    assert tuned.sizes[1:] == made.sizes[1:]
    best = [coverage.recall(coverage.iou_by_kind(boxes, one, SIZE).amax(dim=1), [0.5, 0.6]) for one in (tuned, made)]
    np.testing.assert_allclose(*best, atol=0.03)


def test_peaks_are_where_the_histogram_rises():
    generator = np.random.default_rng(0)
    sizes = np.concatenate([generator.normal(size, 0.03 * size, 400) for size in (8, 24, 70)] + [[200.0]])
    np.testing.assert_allclose(coverage.peaks_of_sizes(sizes, number=3), [8, 24, 70], rtol=0.1)


@pytest.fixture(scope="module")
def real(real_folder):
    path = real_folder / "train_annotations_all.json"
    if not path.is_file():
        pytest.skip("all of the real labels are not on this machine")
    xywh = torch.tensor([entry["bbox"] for entry in json.loads(path.read_text())["annotations"]])
    return torch.cat([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], dim=1)


def test_the_reports_anchors_on_the_real_labels(real):
    best = coverage.iou_by_kind(real, RETINANET, SIZE).amax(dim=1)
    assert len(real) == 18_287 and 1 - coverage.recall(best)[0] == pytest.approx(0.288, abs=0.0005)


def test_the_reports_automatic_anchors_on_the_real_labels(real):
    """Its feature maps, 39 x 313 to 1 x 7, say which sizes it found; that they leave 58.3 % was measured."""
    made = coverage.peak_anchors((real[:, 2:] - real[:, :2]).flip(1).numpy(), mixed_up=True)
    widths = [313, 150, 72, 25, 13, 7]
    np.testing.assert_allclose([1024 / stride for stride in made.strides], widths, rtol=0.02)
    assert made.num_anchors_per_location() == [7] * 6
    as_it_had_them = replace(made, strides=tuple(128 / rows for rows in (39, 19, 9, 3, 2, 1)))
    uncovered = 1 - coverage.recall(coverage.iou_by_kind(real, as_it_had_them, SIZE).amax(dim=1))[0]
    assert uncovered == pytest.approx(0.583, abs=0.001)
    upright = coverage.peak_anchors((real[:, 2:] - real[:, :2]).flip(1).numpy())
    covered = coverage.recall(coverage.iou_by_kind(real, upright, SIZE).amax(dim=1))[0]
    assert covered == pytest.approx(0.48, abs=0.001)


def test_gradient_descent_covers_the_real_labels_better(real):
    made = coverage.optimise(real, RETINANET, SIZE, steps=100)
    uncovered = 1 - coverage.recall(coverage.iou_by_kind(real, made, SIZE).amax(dim=1))[0]
    assert uncovered < 0.15


@pytest.mark.parametrize(
    ("name", "uncovered"),
    [("anchor_tuning", 0.104), ("anchor_tuning-proportion", 0.101), ("anchor_tuning-free", 0.066)],
)
def test_the_tuned_anchors_on_the_real_labels(real, name, uncovered):
    """They were fitted to simulated boxes; SSD's six a cell leave 0.288 of the real ones uncovered."""
    best = coverage.iou_by_kind(real, ALL_RECIPES[name].anchors, SIZE).amax(dim=1)
    assert 1 - coverage.recall(best)[0] == pytest.approx(uncovered, abs=0.001)
