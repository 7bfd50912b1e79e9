"""Anchors against torchvision's default boxes, and against what one cell's anchors must be."""

import math
from types import SimpleNamespace

import pytest
import torch
from torchvision.models.detection.anchor_utils import DefaultBoxGenerator

from tdt4265.anchors import Anchors, SSDSizes
from tdt4265.recipes import fpn, retinanet, ssd


def test_equal_to_torchvision_where_both_can_say_it():
    # torchvision gives scales as shares of the image, and steps in pixels; ours are pixels.
    height, width = 64, 96
    scales, ratios, strides = [0.1, 0.3, 0.5], [[2], [2, 3]], [16, 32]
    theirs = DefaultBoxGenerator(ratios, scales=scales, steps=strides, clip=False)
    sizes = SSDSizes(tuple((s * height, s * width) for s in scales), aspect_ratios=tuple(map(tuple, ratios)))
    ours = Anchors(tuple(strides), sizes)
    shapes = ours.grid_shapes((height, width))
    assert shapes == [(4, 6), (2, 3)]
    images = SimpleNamespace(tensors=torch.zeros(1, 3, height, width), image_sizes=[(height, width)])
    (wanted,) = theirs(images, [torch.zeros(1, 1, *shape) for shape in shapes])
    assert ours.num_anchors_per_location() == theirs.num_anchors_per_location()
    assert ours.count((height, width)) == len(wanted) == 4 * 6 * 4 + 2 * 3 * 6
    torch.testing.assert_close(ours(shapes), wanted)


def test_one_cell():
    anchors = Anchors(strides=(8,), sizes=SSDSizes(((10, 20), (40, 80)), aspect_ratios=((4,),)))([(1, 2)])
    first, second = anchors.view(2, 4, 4)
    centre_size = torch.cat([(first[:, :2] + first[:, 2:]) / 2, first[:, 2:] - first[:, :2]], dim=1)
    wanted = [[4, 4, 20, 10], [4, 4, 40, 20], [4, 4, 40, 5], [4, 4, 10, 20]]  # min, geometric mean, wide, high
    torch.testing.assert_close(centre_size, torch.tensor(wanted, dtype=torch.float32))
    torch.testing.assert_close(second - first, torch.tensor([8.0, 0, 8, 0]).expand(4, 4))


def test_any_sizes_on_the_grid():
    anchors = Anchors(strides=(4, 8), sizes=(((6, 2),), ((8, 8), (4, 16))))
    assert anchors.num_anchors_per_location() == [1, 2] and anchors.count((8, 8)) == 2 * 2 + 2
    wanted = [[1, -1, 3, 5], [5, -1, 7, 5], [1, 3, 3, 9], [5, 3, 7, 9], [0, 0, 8, 8], [-4, 2, 12, 6]]
    torch.testing.assert_close(anchors([(2, 2), (1, 1)]), torch.tensor(wanted, dtype=torch.float32))


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
    assert anchors.sizes[5][1] == (128, math.sqrt(128 * 400))


def test_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="aspect_ratios of 1 levels need one more of min_sizes, got 1"):
        SSDSizes(min_sizes=((8, 8),), aspect_ratios=((2,),))
    with pytest.raises(ValueError, match="strides of 1 levels, but sizes of 2"):
        Anchors(strides=(4,), sizes=(((8, 8),), ((16, 16),)))
    with pytest.raises(ValueError, match="anchors of 6 levels, but 1 feature maps"):
        ssd.anchors([(32, 256)])
