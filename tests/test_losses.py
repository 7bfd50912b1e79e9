"""Losses against loops that follow the papers' sums, and against torchvision's SSD."""

import math
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torchvision.models.detection._utils import BoxCoder, SSDMatcher
from torchvision.models.detection.ssd import SSD
from torchvision.ops import box_iou, sigmoid_focal_loss

from tdt4265.boxes import anchor_targets, match, pad_boxes
from tdt4265.losses import MultiboxLoss, SigmoidFocalLoss, SoftmaxFocalLoss, class_weights
from tdt4265.recipes import SSD_ANCHORS

ANCHORS = SSD_ANCHORS(SSD_ANCHORS.grid_shapes((64, 64)))
LOSSES = [MultiboxLoss(), SoftmaxFocalLoss(), SigmoidFocalLoss()]


def scene(images=2, classes=5, seed=0):
    """Random network outputs, and the targets of random boxes."""
    g = torch.Generator().manual_seed(seed)
    corner = 40 * torch.rand(images, 3, 2, generator=g)
    boxes = list(torch.cat([corner, corner + 6 + 15 * torch.rand(images, 3, 2, generator=g)], dim=-1))
    labels = list(torch.randint(1, classes, (images, 3), generator=g))
    logits = torch.randn(images, len(ANCHORS), classes, generator=g)
    offsets = torch.randn(images, len(ANCHORS), 4, generator=g)
    padded, valid = pad_boxes(boxes)
    targets = anchor_targets(match(ANCHORS, padded, valid), padded, torch.stack(labels), ANCHORS)
    return logits, offsets, *targets, boxes, labels


def smooth_l1(x):
    return 0.5 * x * x if abs(x) < 1 else abs(x) - 0.5


def boxes_by_loops(offsets, labels, targets):
    total, count = 0.0, 0
    for b, n in (labels > 0).nonzero().tolist():
        count += 1
        differences = (offsets[b, n] - targets[b, n]).tolist()
        total += sum(smooth_l1(d) for d in differences)
    return total / count


def test_multibox_equals_loops():
    logits, offsets, labels, targets, *_ = scene()
    total, count = 0.0, 0
    for b in range(len(logits)):
        positives, negatives = [], []
        for n in range(len(ANCHORS)):
            exponentials = [math.exp(value) for value in logits[b, n].tolist()]
            label = int(labels[b, n])
            surprise = -math.log(exponentials[label] / sum(exponentials))
            (positives if label else negatives).append(surprise)
        total += sum(positives) + sum(sorted(negatives, reverse=True)[: 3 * len(positives)])
        count += len(positives)
    losses = MultiboxLoss()(logits, offsets, labels, targets)
    assert losses["classification"].item() == pytest.approx(total / count, rel=1e-5)
    assert losses["bbox_regression"].item() == pytest.approx(boxes_by_loops(offsets, labels, targets), rel=1e-5)


def test_multibox_equals_torchvision_values_and_gradients():
    logits, offsets, labels, targets, boxes, classes = scene(images=3, seed=1)
    logits.requires_grad_(), offsets.requires_grad_()
    ours = MultiboxLoss()(logits, offsets, labels, targets)
    our_gradients = torch.autograd.grad(sum(ours.values()), [logits, offsets])

    ssd = SimpleNamespace(box_coder=BoxCoder((10.0, 10.0, 5.0, 5.0)), neg_to_pos_ratio=3)
    theirs = SSD.compute_loss(
        ssd,
        [{"boxes": b, "labels": c} for b, c in zip(boxes, classes, strict=True)],
        {"bbox_regression": offsets, "cls_logits": logits},
        [ANCHORS] * 3,
        [SSDMatcher(0.5)(box_iou(b, ANCHORS)) for b in boxes],
    )
    their_gradients = torch.autograd.grad(sum(theirs.values()), [logits, offsets])
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(our_gradients, their_gradients)


def test_softmax_focal_equals_loops():
    logits, offsets, labels, targets, *_ = scene(seed=2)
    total = 0.0
    for b in range(len(logits)):
        for n in range(len(ANCHORS)):
            exponentials = [math.exp(value) for value in logits[b, n].tolist()]
            p = exponentials[labels[b, n]] / sum(exponentials)
            total -= (1000 if labels[b, n] else 10) * (1 - p) ** 2 * math.log(p)
    losses = SoftmaxFocalLoss()(logits, offsets, labels, targets)
    assert losses["classification"].item() == pytest.approx(total / labels.numel(), rel=1e-5)
    assert losses["bbox_regression"].item() == pytest.approx(boxes_by_loops(offsets, labels, targets), rel=1e-5)


def test_focal_without_focus_is_cross_entropy():
    logits, offsets, labels, targets, *_ = scene(seed=3)
    loss = SoftmaxFocalLoss(alpha_background=1, alpha_object=1, gamma=0)(logits, offsets, labels, targets)
    torch.testing.assert_close(loss["classification"], F.cross_entropy(logits.flatten(0, 1), labels.flatten()))


@pytest.mark.parametrize(("alpha", "gamma"), [(0.25, 2.0), (0.5, 0.0), (0.75, 1.5)])
def test_sigmoid_focal_equals_torchvision_values_and_gradients(alpha, gamma):
    logits, offsets, labels, targets, *_ = scene(seed=4)
    logits = (5 * logits[..., 1:]).requires_grad_()  # no logit for background
    loss = SigmoidFocalLoss(alpha, gamma)(logits, offsets, labels, targets)
    answers = torch.zeros_like(logits)
    for b, n in (labels > 0).nonzero().tolist():
        answers[b, n, labels[b, n] - 1] = 1
    wanted = sigmoid_focal_loss(logits, answers, alpha, gamma, reduction="sum") / (labels > 0).sum()
    torch.testing.assert_close(loss["classification"], wanted)
    (ours,), (theirs,) = (torch.autograd.grad(value, logits) for value in (loss["classification"], wanted))
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)
    assert loss["bbox_regression"].item() == pytest.approx(boxes_by_loops(offsets, labels, targets), rel=1e-5)


def test_sigmoid_focal_has_a_gradient_where_it_is_certain():
    """torchvision's is NaN here: the derivative of (1 - p)^0.5 where p rounds to 1."""
    logits = torch.tensor([[[40.0], [-40.0]]], requires_grad=True)
    loss = SigmoidFocalLoss(gamma=0.5)(logits, torch.zeros(1, 2, 4), torch.tensor([[1, 0]]), torch.zeros(1, 2, 4))
    (gradient,) = torch.autograd.grad(loss["classification"], logits)
    assert gradient.isfinite().all()
    (theirs,) = torch.autograd.grad(sigmoid_focal_loss(logits, torch.tensor([[[1.0], [0.0]]]), gamma=0.5).sum(), logits)
    assert theirs.isnan().any()


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_softmax_focal_has_a_gradient_where_it_is_certain(gamma):
    logits = torch.tensor([[[200.0, 0.0, 0.0], [0.0, 0.0, 200.0]]], requires_grad=True)
    loss = SoftmaxFocalLoss(gamma=gamma)(logits, torch.zeros(1, 2, 4), torch.tensor([[0, 2]]), torch.zeros(1, 2, 4))
    (gradient,) = torch.autograd.grad(loss["classification"], logits)
    assert loss["classification"] == 0 and gradient.isfinite().all()


def test_sigmoid_focal_equals_loops():
    logits, offsets, labels, targets, *_ = scene(images=1, seed=5)
    logits, total = logits[..., 1:], 0.0
    for n in range(len(ANCHORS)):
        for k in range(logits.shape[-1]):
            p = 1 / (1 + math.exp(-logits[0, n, k].item()))
            yes = labels[0, n] == k + 1
            p_t, alpha_t = (p, 0.25) if yes else (1 - p, 0.75)
            total -= alpha_t * (1 - p_t) ** 2 * math.log(p_t)
    losses = SigmoidFocalLoss()(logits, offsets, labels, targets)
    assert losses["classification"].item() == pytest.approx(total / int((labels > 0).sum()), rel=1e-5)


@pytest.mark.parametrize("loss", LOSSES)
def test_finite_without_boxes_and_when_certainly_wrong(loss):
    logits, offsets, labels, targets, *_ = scene()
    logits = (1000 * logits[..., -loss.num_logits(5) :]).requires_grad_()  # probabilities of exactly 0 and 1
    offsets.requires_grad_()
    for target_labels in (labels, torch.zeros_like(labels)):
        losses = loss(logits, offsets, target_labels, targets)
        assert all(value.isfinite() and value.ndim == 0 for value in losses.values())
        for gradient in torch.autograd.grad(sum(losses.values()), [logits, offsets]):
            assert gradient.isfinite().all()
    assert losses["bbox_regression"] == 0


@pytest.mark.parametrize("loss", LOSSES[:2])
def test_scores_are_the_foreground_of_a_softmax(loss):
    logits = torch.tensor([[[0.0, math.log(2), math.log(5)]]])
    torch.testing.assert_close(loss.scores(logits), torch.tensor([[[2 / 8, 5 / 8]]]))
    assert loss.num_logits(3) == 3


@pytest.mark.parametrize("loss", LOSSES)
def test_the_bias_of_a_prior(loss):
    bias = loss.prior_bias(0.01, num_classes=9)
    assert bias.shape == (loss.num_logits(9),) and bias.dtype == torch.float32
    scores = loss.scores(bias)
    wanted = 0.01 if isinstance(loss, SigmoidFocalLoss) else 0.01 / 8  # each by itself, or all eight together
    torch.testing.assert_close(scores, torch.full((8,), wanted))


def test_scores_of_sigmoids_stand_each_for_themselves():
    logits = torch.tensor([[[0.0, math.log(3)]]])
    torch.testing.assert_close(SigmoidFocalLoss().scores(logits), torch.tensor([[[0.5, 0.75]]]))
    assert SigmoidFocalLoss().num_logits(3) == 2


PROCESS = """
import sys, torch
from tdt4265.losses import MultiboxLoss, SigmoidFocalLoss, SoftmaxFocalLoss
folder, rank = sys.argv[1], int(sys.argv[2])
torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
logits, offsets, labels, targets = (x[rank : rank + 1] for x in torch.load(f"{folder}/scene.pt"))
outputs = logits.requires_grad_(), offsets.requires_grad_()
gradients = []
for loss in (MultiboxLoss(), SoftmaxFocalLoss(), SigmoidFocalLoss()):
    used = outputs[0][..., -loss.num_logits(5) :]
    gradients.append(torch.autograd.grad(sum(loss(used, outputs[1], labels, targets).values()), outputs))
torch.save(gradients, f"{folder}/gradients{rank}.pt")
torch.distributed.barrier()
torch.distributed.destroy_process_group()  # left open, it may abort the interpreter at exit
"""


def test_two_processes_have_the_gradients_of_one(tmp_path):
    """An image each, of which one has few positive anchors: averaged, the gradients are those of both together."""
    logits, offsets, labels, targets, *_ = scene()
    labels[1, labels[1].nonzero()[2:]] = 0
    assert 2 == (labels[1] > 0).sum() < (labels[0] > 0).sum()
    torch.save((logits, offsets, labels, targets), tmp_path / "scene.pt")
    started = [subprocess.Popen([sys.executable, "-c", PROCESS, str(tmp_path), rank]) for rank in "01"]
    assert [process.wait(timeout=120) for process in started] == [0, 0]
    apart = [torch.load(tmp_path / f"gradients{rank}.pt") for rank in "01"]
    outputs = logits.requires_grad_(), offsets.requires_grad_()
    for i, loss in enumerate(LOSSES):
        used = outputs[0][..., -loss.num_logits(5) :]
        together = torch.autograd.grad(sum(loss(used, outputs[1], labels, targets).values()), outputs)
        for j, wanted in enumerate(together):
            torch.testing.assert_close(torch.cat([one[i][j] for one in apart]) / 2, wanted)


@pytest.mark.parametrize("loss", LOSSES)
def test_ignored_anchors_do_not_count(loss):
    """The loss of an image with ignored anchors is that of the same image without those anchors."""
    torch.manual_seed(0)
    logits = torch.randn(2, 40, loss.num_logits(4), requires_grad=True)
    offsets = torch.randn(2, 40, 4, requires_grad=True)
    labels = torch.randint(0, 4, (2, 40))
    labels[:, 30:] = -1
    targets = torch.randn(2, 40, 4)
    losses = loss(logits, offsets, labels, targets)
    wanted = loss(logits[:, :30], offsets[:, :30], labels[:, :30], targets[:, :30])
    torch.testing.assert_close(losses, wanted)
    sum(losses.values()).backward()
    assert not logits.grad[:, 30:].any() and not offsets.grad[:, 30:].any()


def test_a_weight_for_each_class():
    torch.manual_seed(0)
    logits, labels, zeros = torch.randn(1, 3, 4), torch.tensor([[0, 1, 3]]), torch.zeros(1, 3, 4)
    each = [
        SoftmaxFocalLoss(*alpha)(logits, zeros, labels, zeros)["classification"]
        for alpha in ((1.0, (0.0, 0.0, 0.0)), (0.0, (1.0, 0.0, 0.0)), (0.0, (0.0, 0.0, 1.0)))
    ]
    together = SoftmaxFocalLoss(10.0, (200.0, 300.0, 400.0))(logits, zeros, labels, zeros)["classification"]
    torch.testing.assert_close(together, 10 * each[0] + 200 * each[1] + 400 * each[2])
    with pytest.raises(ValueError, match="alpha_object has 2 weights for 3 classes of objects"):
        SoftmaxFocalLoss(10.0, (200.0, 300.0))(logits, zeros, labels, zeros)


def test_class_weights():
    counts = (9000, 900, 100)
    assert class_weights(counts, beta=0) == (1000.0,) * 3
    inverse = class_weights(counts, beta=1)
    assert inverse == (370.0, 3704.0, 33333.0)  # each class has a third of the weight: 10,000 x 1000 / 3 / count
    effective = class_weights(counts, beta=0.999)
    assert inverse[0] < effective[0] < effective[1] < effective[2] < inverse[2]
    n = [(1 - 0.999**count) / 0.001 for count in counts]
    assert effective[2] / effective[0] == pytest.approx(n[0] / n[2], rel=1e-3)
