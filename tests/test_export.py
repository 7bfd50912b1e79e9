"""Exported detectors: the file finds what torch finds, says what it holds, and is refused in one line."""

import contextlib
import io
import json
import sys

import numpy as np
import pytest
import torch
from torchvision.ops import batched_nms, box_iou

from tdt4265 import boxes, data, export, weights
from tdt4265.recipes import ALL_RECIPES

WHAT = "ssd"  # the fewest layers of all, and more detections than are kept
# Of every backbone, pyramid and loss one.
ONE_STAGE = ("ssd", "retinanet", "bifpn", "auto_anchors", "focal_loss-sigmoid", "lite")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with whole.onnx, raw.onnx and int8.onnx, all by the command, and int8.txt, what it said of the last."""
    folder = tmp_path_factory.mktemp("export")
    assert export.main([WHAT, str(folder / "whole.onnx")]) == 0
    assert export.main([WHAT, str(folder / "raw.onnx"), "--raw"]) == 0
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(said):
        patch.setattr(export, "to_onnx", lambda *parts, **how: export.read(folder / "whole.onnx"))
        assert export.main([WHAT, str(folder / "int8.onnx"), "--int8", "sample"]) == 0
    (folder / "int8.txt").write_text(said.getvalue())
    return folder


@pytest.fixture(scope="module")
def model():
    return weights.load(WHAT)


@pytest.fixture(scope="module")
def frames():
    _, val = data.load("sample")
    return [val[index][0].as_subclass(torch.Tensor) for index in range(len(val))]


def test_the_file_finds_what_torch_finds(folder, model, frames):
    detector = export.OnnxDetector(folder / "whole.onnx", threads=1)
    assert detector.categories == model.categories and detector.image_size == (128, 1024)
    with torch.no_grad():
        for wanted, got in zip(model(frames), detector(frames), strict=True):
            assert {key: value.dtype for key, value in got.items()} == {k: v.dtype for k, v in wanted.items()}
            assert len(got["labels"]) == len(wanted["labels"]) > 10
            # Those that score the same to rounding may change places, and be the last that is kept or not.
            sure = wanted["scores"] > wanted["scores"].min() + 1e-4
            off = (wanted["boxes"][sure, None] - got["boxes"]).abs().amax(dim=-1)
            off, match = off.masked_fill(wanted["labels"][sure, None] != got["labels"], torch.inf).min(dim=1)
            assert off.max() <= 0.01 and len(match.unique()) == len(match)
            torch.testing.assert_close(got["scores"][match], wanted["scores"][sure], rtol=0, atol=1e-4)
            assert (got["scores"].diff() <= 0).all()
    with pytest.raises(ValueError, match=r"takes images \[3, 128, 1024\], got \[3, 64, 64\]"):
        detector([torch.zeros(3, 64, 64)])


def test_a_raw_file_is_decoded_as_its_metadata_say(folder, model, frames):
    file = export.session(folder / "raw.onnx", 1)
    said = file.get_modelmeta().custom_metadata_map["decoding"]
    logits, offsets, anchors = (x[0] if x.ndim == 3 else x for x in file.run(None, {"image": frames[0][None].numpy()}))
    for sentence in (
        "softmax(logits)",
        "centre = c + offsets[:2] * 0.1 * s",
        "size = s * exp(min(offsets[2:] * 0.2, 4.1",
    ):
        assert sentence in said
    centre, size = (anchors[:, :2] + anchors[:, 2:]) / 2, anchors[:, 2:] - anchors[:, :2]
    centre = centre + offsets[:, :2] * 0.1 * size
    size = size * np.exp(np.minimum(offsets[:, 2:] * 0.2, boxes.MAX_LOG_SCALE))
    exp = np.exp(logits)
    with torch.no_grad():
        outputs = model.outputs(frames[:1])
    wanted = boxes.decode(outputs.box_offsets[0], outputs.anchors)
    got = torch.from_numpy(np.concatenate([centre - size / 2, centre + size / 2], axis=1))
    torch.testing.assert_close(got, wanted, rtol=0, atol=0.01)
    scores = torch.from_numpy(exp / exp.sum(axis=1, keepdims=True))[:, 1:]
    torch.testing.assert_close(scores, model.loss.scores(outputs.class_logits)[0], rtol=0, atol=1e-4)
    with pytest.raises(export.ExportError, match=r"raw\.onnx: is raw; export it without --raw"):
        export.OnnxDetector(folder / "raw.onnx")


def test_the_metadata(folder, model):
    said = {p.key: p.value for p in export.read(folder / "int8.onnx").metadata_props}
    assert {int(label): name for label, name in json.loads(said["classes"]).items()} == model.categories
    assert json.loads(said["thresholds"])["nms_thresh"] == model.nms_thresh
    assert said["precision"] == "int8" and said["detector"] == WHAT and "[1, 3, 128, 1024] in 0..1" in said["image"]


def test_int8_finds_nearly_the_same(folder, model, frames):
    whole, small = (folder / name for name in ("whole.onnx", "int8.onnx"))
    network = sum(p.numel() for p in model.parameters())
    assert whole.stat().st_size - small.stat().st_size > 1.5 * network  # of the four bytes of a weight
    detector = export.OnnxDetector(small, threads=1)
    with torch.no_grad():
        for wanted, got in zip(model(frames), detector(frames), strict=True):
            sure = wanted["scores"] > 0.5
            same = wanted["labels"][sure, None] == got["labels"]
            overlap, match = (box_iou(wanted["boxes"][sure], got["boxes"]) * same).max(dim=1)
            assert (overlap > 0.8).all()
            torch.testing.assert_close(got["scores"][match], wanted["scores"][sure], rtol=0, atol=0.1)
    line = (folder / "int8.txt").read_text().splitlines()[-1]
    before, after = (float(line.partition(f" in {name}")[0].split()[-1]) for name in ("float32", "int8"))
    assert line.startswith("mAP on val of sample (4 frames): ") and 0 < before < 1 and abs(after - before) < 0.05


@pytest.mark.parametrize("name", ONE_STAGE)
@torch.no_grad()
def test_what_goes_into_suppression_is_the_detectors_own(name, frames):
    """In torch, where it takes no time; the size is no multiple of the coarsest stride."""
    detector, size = weights.load(name), (100, 300)
    frame = frames[0][:, 10:110, 200:500]
    candidates = export.Candidates(export.Network(detector, size), detector.outputs([frame]).anchors, size)
    (found,), (class_scores,) = candidates(frame[None])
    label, candidate = (class_scores > detector.score_thresh).nonzero(as_tuple=True)
    score = class_scores[label, candidate]
    keep = batched_nms(found[candidate], score, label, detector.nms_thresh)[: detector.detections_per_img]
    (wanted,) = detector([frame])
    assert len(wanted["scores"]) > 0
    torch.testing.assert_close(score[keep], wanted["scores"], rtol=0, atol=1e-4)
    # Of two scores that are equal up to rounding either may come first.
    apart = (found[candidate][keep][:, None] - wanted["boxes"]).abs().amax(dim=2)
    apart += 1e3 * (label[keep][:, None] + 1 != wanted["labels"])
    assert apart.amin(dim=0).max() < 1e-3 and apart.amin(dim=1).max() < 1e-3


@torch.no_grad()
def test_a_rings_network_is_its_own(frames):
    ring = weights.load("ring")
    logits, offsets = export.Network(ring, (128, 1024))(frames[0][None])
    wanted = ring.outputs(frames[:1])
    torch.testing.assert_close(logits, wanted.class_logits, rtol=0, atol=1e-4)
    torch.testing.assert_close(offsets, wanted.box_offsets, rtol=0, atol=1e-4)
    assert "around" in export.decoding(ring)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["none"], "none: is no file, no folder and no recipe with weights"),
        (["ring"], "RingDetector: ONNX has no suppression that goes around the ring; export it with --raw"),
        ([WHAT, "--image-size", "0", "9"], "--image-size 0 9: both are at least 1"),
        (["ring", "--raw", "--image-size", "128", "1000"], "--image-size 128 1000: .* one multiple of 128 columns"),
        ([WHAT, "--int8", "nowhere"], "nowhere: no such folder"),
        (
            [WHAT, "--int8", "sample", "--image-size", "64", "64"],
            "train frame 0 is 128 x 1024: give --image-size 128 1024",
        ),
    ],
)
def test_refusals_are_one_line(arguments, line, tmp_path, capsys):
    what, *options = arguments
    assert export.main([what, str(tmp_path / "out.onnx"), *options]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    with pytest.raises(ValueError, match=line):
        raise ValueError(said)
    assert not list(tmp_path.iterdir())


def test_two_stages_are_refused():
    detector = ALL_RECIPES["faster_rcnn"].small().build_model(pretrained=False)
    with pytest.raises(export.ExportError, match=r"FasterRCNN: .* export a one-stage detector"):
        export.refuse(detector, raw=True)


@pytest.mark.parametrize("missing", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_library_is_one_line(missing, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, missing, None)
    assert export.main([WHAT, str(tmp_path / "out.onnx")]) == 2
    assert capsys.readouterr().err == f'{missing} is not installed: pip install "tdt4265[export]"\n'


def test_a_file_that_differs_from_torch_is_not_left(folder, tmp_path, capsys, monkeypatch):
    """Its thresholds are another detector's."""
    proto = export.read(folder / "whole.onnx")
    (threshold,) = (x for x in proto.graph.initializer if x.name == "end_nms_iou")
    threshold.raw_data = np.array([0.2], np.float32).tobytes()
    monkeypatch.setattr(export, "to_onnx", lambda *parts, **how: proto)
    out = tmp_path / "out.onnx"
    out.write_text("the old one")
    assert export.main([WHAT, str(out)]) == 2
    assert capsys.readouterr().err.startswith(
        "the file's detections are not torch's (sample frame 0: 200 detections by"
    )
    assert out.read_text() == "the old one" and len(list(tmp_path.iterdir())) == 1


def test_what_is_no_file_of_ours(tmp_path):
    path = tmp_path / "x.onnx"
    path.write_text("no")
    with pytest.raises(export.ExportError, match=r"x\.onnx: onnxruntime can't read it"):
        export.OnnxDetector(path)
    with pytest.raises(export.ExportError, match=r"x\.onnx: is no ONNX file"):
        export.read(path)
