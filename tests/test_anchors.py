"""Anchors against torchvision's default boxes, and against what one cell's anchors must be."""

import math
from types import SimpleNamespace

import pytest
import torch
from torchvision.models.detection.anchor_utils import DefaultBoxGenerator

from tdt4265.anchors import SSDAnchors
from tdt4265.recipes import fpn, retinanet, ssd


def test_equal_to_torchvision_where_both_can_say_it():
    # torchvision gives scales as shares of the picture, and steps in pixels; ours are pixels.
    height, width = 64, 96
    scales, ratios, strides = [0.1, 0.3, 0.5], [[2], [2, 3]], [16, 32]
    theirs = DefaultBoxGenerator(ratios, scales=scales, steps=strides, clip=False)
    ours = SSDAnchors(
        strides=tuple(strides),
        min_sizes=tuple((s * height, s * width) for s in scales),
        aspect_ratios=tuple(map(tuple, ratios)),
    )
    shapes = ours.grid_shapes((height, width))
    assert shapes == [(4, 6), (2, 3)]
    pictures = SimpleNamespace(tensors=torch.zeros(1, 3, height, width), image_sizes=[(height, width)])
    (wanted,) = theirs(pictures, [torch.zeros(1, 1, *shape) for shape in shapes])
    assert ours.per_cell() == theirs.num_anchors_per_location()
    assert ours.count((height, width)) == len(wanted) == 4 * 6 * 4 + 2 * 3 * 6
    torch.testing.assert_close(ours(shapes), wanted)


def test_one_cell():
    anchors = SSDAnchors(strides=(8,), min_sizes=((10, 20), (40, 80)), aspect_ratios=((4,),))([(1, 2)])
    first, second = anchors.view(2, 4, 4)
    centre_size = torch.cat([(first[:, :2] + first[:, 2:]) / 2, first[:, 2:] - first[:, :2]], dim=1)
    wanted = [[4, 4, 20, 10], [4, 4, 40, 20], [4, 4, 40, 5], [4, 4, 10, 20]]  # min, geometric mean, wide, high
    torch.testing.assert_close(centre_size, torch.tensor(wanted, dtype=torch.float32))
    torch.testing.assert_close(second - first, torch.tensor([8.0, 0, 8, 0]).expand(4, 4))


@pytest.mark.parametrize(("recipe", "count"), [(ssd, 65_440), (fpn, 65_440), (retinanet, 65_520)])
def test_counts_of_the_reports(recipe, count):
    anchors = recipe.anchors
    shapes = anchors.grid_shapes((128, 1024))
    assert shapes == [(32, 256), (16, 128), (8, 64), (4, 32), (2, 16), (1, 8)]
    assert anchors.count((128, 1024)) == count
    made = anchors(shapes)
    assert made.shape == (count, 4) and made.dtype == torch.float32
    assert anchors(shapes) is made  # made once
    # The coarsest level's second anchor is the widest of its centre: sqrt(128 x 128) by sqrt(128 x 400).
    assert anchors.cell_sizes(5)[1] == (128, math.sqrt(128 * 400))


def test_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="1 strides need as many aspect_ratios and one more of min_sizes, got 1 and 1"):
        SSDAnchors(strides=(4,), min_sizes=((8, 8),), aspect_ratios=((2,),))
    with pytest.raises(ValueError, match="anchors of 6 levels, but 1 feature maps"):
        ssd.anchors([(32, 256)])
