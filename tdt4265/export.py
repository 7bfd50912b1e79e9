"""A trained detector as one ONNX file, decoding and suppression included, checked against torch as it is written.

    python -m tdt4265.export anchor_tuning detector.onnx
    python -m tdt4265.export runs/retinanet-small-mine-seed0 detector.onnx --int8 FOLDER

The file has one input, "image", float32 [1, 3, H, W] in 0..1 of one size, and the outputs "boxes" float32 [N, 4] (xyxy
in pixels), "labels" int64 [N] and "scores" float32 [N], best first, N <= detections_per_img. With --raw it ends before
decoding: "logits" float32 [1, A, L], "offsets" float32 [1, A, 4], and "anchors" float32 [A, 4]. Its metadata says what
the labels mean, and how a raw file is decoded. In a notebook `OnnxDetector(path)` is a model like any other.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib
import io
import json
import logging
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import clip_boxes_to_image

from tdt4265 import boxes as box_ops
from tdt4265 import data, weights
from tdt4265.errors import OneLineError
from tdt4265.evaluation import evaluate, evaluating
from tdt4265.losses import SigmoidFocalLoss
from tdt4265.models import Detector, RingDetector
from tdt4265.paths import write_whole

IMAGE_SIZE = (128, 1024)  # the dataset's height and width
OUTPUTS = ("boxes", "labels", "scores")
RAW_OUTPUTS = ("logits", "offsets", "anchors")
BOX_TOLERANCE, SCORE_TOLERANCE = 0.01, 1e-4  # pixels; between torch and the file
CHECKED_FRAMES, CALIBRATION_FRAMES = 3, 64


class ExportError(OneLineError):
    """A detector that can't be exported: one line that says why, and the mend."""


# The network ----------------------------------------------------------------------------------------------------------


class Network(nn.Module):
    """A detector from an image in 0..1 to logits and offsets, of one image size, without a step that depends on data.

    Args:
        detector: a `Detector` or a `RingDetector`. image_size: (height, width), at most a cell smaller than a multiple
            of the coarsest stride.
    """

    def __init__(self, detector: Detector, image_size: tuple[int, int]):
        super().__init__()
        self.detector = detector
        cell = max(detector.backbone.strides)
        bottom, right = (-side % cell for side in image_size)
        self.padding = (0, right, 0, bottom)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """float32 [1, 3, H, W] -> class_logits [1, A, L], box_offsets [1, A, 4]; as `Detector.outputs`."""
        x = (image - self.detector.image_mean) / self.detector.image_std
        features = self.detector.backbone(F.pad(x, self.padding) if any(self.padding) else x)
        return self.detector.head(features if self.detector.pyramid is None else self.detector.pyramid(features))


class Candidates(nn.Module):
    """A detector from an image in 0..1 to what goes into suppression: the best anchors' boxes, and a score a class.

    Args:
        network: of a `Detector`. anchors: float32 [A, 4]. image_size: (height, width).
    """

    def __init__(self, network: Network, anchors: Tensor, image_size: tuple[int, int]):
        super().__init__()
        self.network, self.image_size = network, image_size
        self.register_buffer("anchors", anchors)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """float32 [1, 3, H, W] -> boxes [1, C, 4], inside the image; scores [1, K - 1, C], 0 where one isn't asked."""
        detector = self.network.detector
        logits, offsets = self.network(image)
        scores = detector.loss.scores(logits)[0]  # [A, K - 1]
        # The best pairs of an anchor and a class are at the anchors whose best class is best: a second search, among
        # few, takes a fraction of the time of one among all pairs.
        few = min(detector.topk_candidates, len(scores))
        _, anchor = scores.amax(dim=1).topk(few)
        score, pair = scores[anchor].flatten().topk(few)
        classes = scores.shape[1]
        anchor, label = anchor[torch.div(pair, classes, rounding_mode="floor")], pair % classes
        boxes = clip_boxes_to_image(box_ops.decode(offsets[0][anchor], self.anchors[anchor]), self.image_size)
        inside = (boxes[:, 2:] > boxes[:, :2]).all(dim=1)
        asked = inside & (label == torch.arange(classes, device=label.device)[:, None])
        return boxes[None], torch.where(asked, score, 0.0)[None]


# The file -------------------------------------------------------------------------------------------------------------


def to_onnx(model: nn.Module, image_size: tuple[int, int] = IMAGE_SIZE, *, raw: bool = False, name: str = "detector"):
    """A one-stage detector as an `onnx.ModelProto`, float32; see this module's first lines for its outputs.

    Args:
        model: a `Detector`, or, with `raw`, a `RingDetector` too; on the CPU.
        image_size: (height, width) of the images that the file takes.
        raw: stop at logits and offsets. name: what the metadata call the detector.

    Raises:
        ExportError: the model is of another kind, a library is missing, or torch can't export the network.
    """
    onnx, _ = library("onnx"), library("onnxscript")
    refuse(model, raw)
    with evaluating(model), torch.no_grad():
        anchors = _anchors(model, image_size)
        network = Network(model, image_size)
        module = network if raw else Candidates(network, anchors, image_size)
        names = RAW_OUTPUTS[:2] if raw else ("candidates", "class_scores")
        proto = _traced(module.eval(), image_size, names)
    if raw:
        _append_anchors(onnx, proto, anchors)
    else:
        _append_suppression(onnx, proto, model)
    onnx.helper.set_model_props(proto, metadata(model, image_size, raw, name))
    onnx.checker.check_model(proto)
    return proto


def refuse(model: nn.Module, raw: bool) -> None:
    """Raises ExportError for a detector that can't be exported in that form."""
    if not isinstance(model, Detector):
        kind = type(model).__name__
        raise ExportError(f"{kind}: torch can't trace a second stage's regions; export a one-stage detector")
    if isinstance(model, RingDetector) and not raw:
        raise ExportError("RingDetector: ONNX has no suppression that goes around the ring; export it with --raw")
    if not raw and model.num_classes < 2:
        raise ExportError(f"a detector of {model.num_classes - 1} classes finds nothing; train one")


def _anchors(model: Detector, image_size: tuple[int, int]) -> Tensor:
    """The anchors [A, 4] of images of this size, by running the detector once, which refuses sizes too."""
    if min(image_size) < 1:
        raise ExportError(f"--image-size {image_size[0]} {image_size[1]}: both are at least 1")
    try:
        return model.outputs([torch.zeros(3, *image_size)]).anchors
    except (ValueError, RuntimeError) as error:
        size, reason = "{} {}".format(*image_size), " ".join(str(error).split())
        raise ExportError(f"--image-size {size}: the detector takes no such images ({reason})") from error


def _traced(module: nn.Module, image_size: tuple[int, int], outputs: Sequence[str]):
    """The module as an `onnx.ModelProto`, by torch's exporter, whose chatter is kept for its failure."""
    image = torch.rand(1, 3, *image_size, generator=torch.Generator().manual_seed(0))
    names = {"input_names": ["image"], "output_names": list(outputs)}
    said = io.StringIO()
    try:
        with _quiet(), contextlib.redirect_stdout(said):
            return torch.onnx.export(module, (image,), dynamo=True, verbose=False, **names).model_proto
    except Exception as error:  # of half a dozen types, most of them private
        reason = " ".join(str(error).split())[:300]
        raise ExportError(f"torch {torch.__version__} can't export this network: {reason}") from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _append_anchors(onnx: ModuleType, proto, anchors: Tensor) -> None:
    graph, name = proto.graph, RAW_OUTPUTS[2]
    graph.initializer.append(onnx.numpy_helper.from_array(anchors.numpy(), "anchor_boxes"))
    graph.node.append(onnx.helper.make_node("Identity", ["anchor_boxes"], [name]))
    graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, list(anchors.shape)))


def _append_suppression(onnx: ModuleType, proto, model: Detector) -> None:
    """candidates [1, C, 4], class_scores [1, K - 1, C] -> the file's outputs, by ONNX's own operators.

    Not traced: what torch knows as NMS has a number of results that its exporter can't follow.
    """
    graph, numbers = proto.graph, onnx.numpy_helper.from_array
    constants = {
        "nms_most": np.array([model.topk_candidates], np.int64),
        "nms_iou": np.array([model.nms_thresh], np.float32),
        "nms_score": np.array([model.score_thresh], np.float32),
        "most": np.array([model.detections_per_img], np.int64),
        "one": np.array(1, np.int64),
        "two": np.array(2, np.int64),
        "batch_axis": np.array([0], np.int64),
    }
    graph.initializer.extend(numbers(value, f"end_{name}") for name, value in constants.items())
    steps = [  # operator, inputs, outputs, attributes; "selected" are int64 [M, 3]: image, class, candidate
        ("NonMaxSuppression", "candidates class_scores end_nms_most end_nms_iou end_nms_score", "end_selected", {}),
        ("GatherND", "class_scores end_selected", "end_scores", {}),
        ("Shape", "end_scores", "end_count", {}),
        ("Min", "end_count end_most", "end_kept", {}),
        ("TopK", "end_scores end_kept", "scores end_best", {"axis": 0, "largest": 1, "sorted": 1}),
        ("Gather", "end_selected end_best", "end_rows", {"axis": 0}),
        ("Gather", "end_rows end_one", "end_class", {"axis": 1}),
        ("Add", "end_class end_one", "labels", {}),
        ("Gather", "end_rows end_two", "end_candidate", {"axis": 1}),
        ("Squeeze", "candidates end_batch_axis", "end_boxes", {}),
        ("Gather", "end_boxes end_candidate", "boxes", {"axis": 0}),
    ]
    for operator, inputs, outputs, attributes in steps:
        name = f"end_{operator}_{outputs.split()[0]}"
        graph.node.append(onnx.helper.make_node(operator, inputs.split(), outputs.split(), name=name, **attributes))
    kinds = {"boxes": (onnx.TensorProto.FLOAT, ["N", 4]), "labels": (onnx.TensorProto.INT64, ["N"])}
    kinds["scores"] = (onnx.TensorProto.FLOAT, ["N"])
    del graph.output[:]
    graph.output.extend(onnx.helper.make_tensor_value_info(name, *kinds[name]) for name in OUTPUTS)


def metadata(model: Detector, image_size: tuple[int, int], raw: bool, name: str) -> dict[str, str]:
    """What travels in the file: JSON under "classes" {label: name} and "thresholds", sentences under the others."""
    thresholds = ("score_thresh", "nms_thresh", "detections_per_img", "topk_candidates")
    categories = getattr(model, "categories", {k: str(k) for k in range(1, model.num_classes)})
    said = {
        "detector": name,
        "classes": json.dumps(categories),
        "thresholds": json.dumps({key: getattr(model, key) for key in thresholds}),
        "image": f"float32 [1, 3, {image_size[0]}, {image_size[1]}] in 0..1; the file normalises it",
        "precision": "float32",
    }
    return said | {"decoding": decoding(model)} if raw else said


def decoding(model: Detector) -> str:
    """How logits, offsets and anchors become boxes and scores, in words that a program can be written from."""
    if isinstance(model.loss, SigmoidFocalLoss):
        scores = "scores = sigmoid(logits), column k is label k + 1"
    else:
        scores = "scores = softmax(logits) over the last axis without its column 0, background; column k is label k"
    ends = "boxes are clipped to the image; scores above score_thresh, the best topk_candidates of them, suppressed "
    ends += "class by class where IoU > nms_thresh, the best detections_per_img"
    if isinstance(model, RingDetector):
        ends = "columns are counted around the image's width; the rest as tdt4265.models.RingDetector has it"
    return (
        f"{scores}. anchors are x1, y1, x2, y2 in pixels, of centre c and size s: "
        f"centre = c + offsets[:2] * {box_ops.CENTRE_VARIANCE} * s, "
        f"size = s * exp(min(offsets[2:] * {box_ops.SIZE_VARIANCE}, {box_ops.MAX_LOG_SCALE:.6f})). {ends}."
    )


# Eight bits -----------------------------------------------------------------------------------------------------------


def quantize(proto, frames: Sequence[Tensor]):
    """The file with its convolutions in int8 but the last ones, the rest, decoding and suppression too, in float32.

    The last ones say logits and offsets: in 8 bits many scores would be the same, and the order of detections is lost.
    Weights and activations are symmetric int8, a scale an output channel and a scale a tensor, the latter from the
    largest values in the frames (post-training static quantisation).

    Args:
        proto: of `to_onnx`. frames: float tensors [3, H, W] of its image size, the more different the better.

    Returns:
        A new `onnx.ModelProto` with the same inputs, outputs and metadata.
    """
    onnx, quantization = library("onnx"), library("onnxruntime.quantization", "onnxruntime")
    prepare = library("onnxruntime.quantization.shape_inference", "onnxruntime").quant_pre_process
    images = iter([{"image": frame[None].numpy()} for frame in frames])

    class Frames(quantization.CalibrationDataReader):
        def get_next(self):
            return next(images, None)

    int8, props = quantization.QuantType.QInt8, {p.key: p.value for p in proto.metadata_props}
    with tempfile.TemporaryDirectory() as folder, _quiet():
        given, prepared, path = (Path(folder) / f"{name}.onnx" for name in ("given", "prepared", "int8"))
        given.write_bytes(proto.SerializeToString())  # of a proto itself the weights would be moved to other files
        # Shapes are known to torch's exporter; what is left to do is to fold norms into convolutions.
        prepare(given, prepared, skip_symbolic_shape=True)
        kinds = {"activation_type": int8, "weight_type": int8, "op_types_to_quantize": ["Conv"]}
        kinds["nodes_to_exclude"] = _last_convolutions(onnx.load(prepared))
        how = {"ActivationSymmetric": True, "WeightSymmetric": True}
        quantization.quantize_static(prepared, path, Frames(), per_channel=True, extra_options=how, **kinds)
        result = onnx.load(path)
    del result.metadata_props[:]
    onnx.helper.set_model_props(result, props | {"precision": "int8"})
    return result


def _last_convolutions(proto) -> list[str]:
    """The names of the convolutions behind which no other one comes."""
    made_by = {name: node for node in proto.graph.node for name in node.output}
    names, seen, found = [output.name for output in proto.graph.output], set(), []
    while names:
        node = made_by.get(names.pop())  # None: an input or a weight
        if node is None or node.name in seen:
            continue
        seen.add(node.name)
        if node.op_type == "Conv":
            found.append(node.name)
        else:
            names += node.input
    return found


def calibration(source: str, image_size: tuple[int, int]) -> tuple[list[Tensor], data.CocoDetection]:
    """Up to CALIBRATION_FRAMES frames [3, H, W], spread over a dataset's train split, and its val split.

    Raises:
        ExportError: a frame is of another size. DataError: no such dataset.
    """
    train, val = data.load(source)
    chosen = np.linspace(0, len(train) - 1, min(len(train), CALIBRATION_FRAMES)).round().astype(int)
    frames = [train[int(index)][0].as_subclass(Tensor) for index in chosen]
    for index, frame in zip(chosen, frames, strict=True):
        _same_size(f"{source}: train frame {index}", frame, image_size)
    for image in val.coco["images"]:
        if (image["height"], image["width"]) != tuple(image_size):
            size = f"{image['height']} x {image['width']}"
            raise ExportError(f"{source}: {image['file_name']} is {size}: give --image-size {size.replace(' x', '')}")
    return frames, val


def _same_size(name: str, frame: Tensor, image_size: tuple[int, int]) -> None:
    height, width = frame.shape[-2:]
    if (height, width) != tuple(image_size):
        raise ExportError(f"{name} is {height} x {width}: give --image-size {height} {width}")


# The file in use ------------------------------------------------------------------------------------------------------


class OnnxDetector(nn.Module):
    """An exported detector, run by onnxruntime, as a model under torchvision's contract, in evaluation mode only.

    Args:
        path: the file. threads: how many it may use; 0: onnxruntime's choice, a core each.
        decoder: of a raw file, the `Detector` that decodes what it gives.

    Attributes:
        categories: {label: name}. image_size: (height, width).

    Raises:
        ExportError: onnxruntime is missing, the file is none, or it is a raw one without a decoder.
        ValueError: when called with images of another size.
    """

    def __init__(self, path: str | Path, *, threads: int = 0, decoder: Detector | None = None):
        super().__init__()
        self.session = session(path, threads)
        said = self.session.get_modelmeta().custom_metadata_map
        self.raw = len({output.name for output in self.session.get_outputs()} & set(RAW_OUTPUTS)) == len(RAW_OUTPUTS)
        if "classes" not in said:
            raise ExportError(f"{path}: does not name its classes; export it with `python -m tdt4265.export`")
        if self.raw and decoder is None:
            raise ExportError(f"{path}: is raw; export it without --raw, or decode it as its metadata say")
        self.categories = {int(label): name for label, name in json.loads(said["classes"]).items()}
        self.image_size = tuple(self.session.get_inputs()[0].shape[-2:])
        self.decoder = [decoder]  # in a list: it is no part of this module
        self.device = nn.Parameter(torch.empty(0), requires_grad=False)  # by which others see where a model is

    def forward(self, images: Sequence[Tensor], targets: Sequence[dict] | None = None) -> list[dict[str, Tensor]]:
        """Float tensors [3, H, W] in 0..1 -> a dict of boxes, labels and scores each."""
        return [self._detect(image) for image in images]

    def _detect(self, image: Tensor) -> dict[str, Tensor]:
        if tuple(image.shape) != (3, *self.image_size):
            raise ValueError(f"the file takes images {[3, *self.image_size]}, got {[*image.shape]}")
        names = RAW_OUTPUTS if self.raw else OUTPUTS
        outputs = self.session.run(list(names), {"image": image[None].cpu().numpy()})
        tensors = [torch.from_numpy(value) for value in outputs]
        if self.raw:
            return self.decoder[0].detections(*tensors, [self.image_size])[0]
        return dict(zip(names, tensors, strict=True))


def as_input(image: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 3] as the file takes it, float32 [1, 3, H, W] in 0..1; the same numbers as `detect.as_tensor`'s."""
    return np.divide(image.transpose(2, 0, 1)[None], np.float32(255), dtype=np.float32, order="C")


def read(path: str | Path):
    """A file as an `onnx.ModelProto`. Raises ExportError: it is none, or onnx is missing."""
    onnx = library("onnx")
    try:
        return onnx.load(path, format="protobuf")
    except Exception as error:  # of protobuf's own types
        raise ExportError(f"{path}: is no ONNX file ({' '.join(str(error).split())[:200]})") from error


def session(path: str | Path, threads: int = 0):
    """The file as an `onnxruntime.InferenceSession` on the CPU. Raises ExportError: it can't be read, or run."""
    runtime = library("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors
    # Its threads would go on spinning for a while after each call, on cores that others want.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    try:
        return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions have no public type of their own
        raise ExportError(f"{path}: onnxruntime can't read it ({' '.join(str(error).split())[:200]})") from error


def check(model: Detector, exported: nn.Module, frames: Sequence[Tensor]) -> int:
    """The number of detections in the frames on which torch and the file agree.

    Raises ExportError where they don't: a box is off by more than BOX_TOLERANCE pixels, a score by more than
    SCORE_TOLERANCE, or a detection of one has none of the same label in the other. Those that just reach the lowest
    score that is kept may be one's alone.
    """
    total = 0
    with torch.no_grad(), evaluating(model):
        for number, frame in enumerate(frames):
            (wanted,), (got,) = model([frame]), exported([frame])
            total += len(wanted["labels"])
            full = len(wanted["labels"]) >= model.detections_per_img
            if not agree(wanted, got, wanted["scores"][-1].item() if full else model.score_thresh):
                counts = f"{len(wanted['labels'])} detections by torch, {len(got['labels'])} by the file"
                raise ExportError(f"the file's detections are not torch's (sample frame {number}: {counts})")
    return total


def agree(wanted: dict[str, Tensor], got: dict[str, Tensor], lowest: float) -> bool:
    """Whether two lists of detections of a frame are the same, to the tolerances, whatever their order.

    lowest: the score below which detections are left out. Rounding decides about those next to it.
    """
    fits = wanted["labels"][:, None] == got["labels"]
    fits &= (wanted["scores"][:, None] - got["scores"]).abs() <= SCORE_TOLERANCE
    fits &= (wanted["boxes"][:, None] - got["boxes"]).abs().amax(dim=-1) <= BOX_TOLERANCE
    marginal = [found["scores"] <= lowest + SCORE_TOLERANCE for found in (wanted, got)]
    return bool((fits.any(dim=1) | marginal[0]).all() and (fits.any(dim=0) | marginal[1]).all())


def sample_frames(image_size: tuple[int, int]) -> list[Tensor]:
    """CHECKED_FRAMES frames of the sample, [3, H, W] in 0..1, brought to this size."""
    _, val = data.load("sample")
    frames = [val[index][0].as_subclass(Tensor) for index in range(CHECKED_FRAMES)]
    if frames[0].shape[-2:] == tuple(image_size):
        return frames
    return [F.interpolate(frame[None], image_size, mode="bilinear", antialias=True)[0].clamp(0, 1) for frame in frames]


def export(
    model: Detector,
    path: str | Path,
    image_size: tuple[int, int] = IMAGE_SIZE,
    *,
    raw: bool = False,
    name: str = "detector",
    frames: Sequence[Tensor] | None = None,
) -> int:
    """Writes a detector's ONNX file, which is checked before it takes the place of an older one.

    Args:
        model, image_size, raw, name: see `to_onnx`.
        frames: to calibrate on, for int8 (`quantize`), whose detections are not those of float32: what was quantised
            is checked before. None: float32.

    Returns:
        The number of detections in frames of the sample on which torch and the float32 file agree.

    Raises:
        ExportError: see `to_onnx` and `check`.
    """
    reader = functools.partial(OnnxDetector, decoder=model if raw else None)
    library("onnxruntime")
    proto = to_onnx(model, image_size, raw=raw, name=name)
    agreed = 0

    def write(place: Path) -> None:
        nonlocal agreed
        place.write_bytes(proto.SerializeToString())
        agreed = check(model, reader(place), sample_frames(image_size))
        if frames is not None:
            place.write_bytes(quantize(proto, frames).SerializeToString())
            check_runs(reader(place), frames[0])

    write_whole(path, write)
    return agreed


def check_runs(exported: nn.Module, frame: Tensor) -> None:
    """Raises ExportError for a file whose detections in a frame are not finite."""
    (found,) = exported([frame])
    if not all(found[key].isfinite().all() for key in ("boxes", "scores")):
        raise ExportError("the int8 file's detections are not finite; calibrate on other frames")


def library(name: str, package: str | None = None) -> ModuleType:
    """A module of an optional package. Raises ExportError, with the command that installs it, where it is missing."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        missing = package or name
        raise ExportError(f'{missing} is not installed: pip install "tdt4265[export]"') from error


# The command ----------------------------------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status: 0, or 2 after one line that says what is wrong."""
    options = _parser().parse_args(arguments)
    out, size = Path(options.out), tuple(options.image_size)
    try:
        for name in ("onnx", "onnxscript", "onnxruntime"):
            library(name)
        model = weights.load(options.what)
        refuse(model, options.raw)
        frames, val = calibration(options.int8, size) if options.int8 else (None, None)
        agreed = export(model, out, size, raw=options.raw, name=Path(options.what).name, frames=frames)
        print(f"{out}: {out.stat().st_size / 1e6:.1f} MB; in float32 it agrees with torch on {agreed} detections")
        if val is not None:
            print(loss_of_map(model, OnnxDetector(out, decoder=model), options.int8, val))
    except (ExportError, weights.WeightsError, data.DataError) as error:
        print(error, file=sys.stderr)
        return 2
    except OSError as error:
        print(f"{out}: cannot be written ({error.strerror or error}); give another file", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the file is not written, or whole", file=sys.stderr)
        return 130
    return 0


def loss_of_map(model: Detector, exported: OnnxDetector, source: str, val: data.CocoDetection) -> str:
    """A line with the mAP of both on a val split, whose categories must be the detector's."""
    if val.categories != model.categories:
        return f"{source}: not scored, its classes are not the detector's"
    before, after = (evaluate(one, val, batch_size=1).map for one in (model, exported))
    if before is None or after is None:
        return f"{source}: not scored, nothing is labelled in val"
    return f"mAP on val of {source} ({len(val)} frames): {before:.4f} in float32, {after:.4f} in int8"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tdt4265.export", description="Write a detector as an ONNX file.")
    parser.add_argument("what", help="a recipe whose weights come with the course, a run's folder, or a checkpoint")
    parser.add_argument("out", help="the file to write, NAME.onnx")
    parser.add_argument("--raw", action="store_true", help="stop at logits and offsets; the metadata say how to go on")
    size = f"of the images that it takes (default: {IMAGE_SIZE[0]} {IMAGE_SIZE[1]})"
    parser.add_argument("--image-size", type=int, nargs=2, default=IMAGE_SIZE, metavar=("H", "W"), help=size)
    int8 = "convolutions in int8, calibrated on train of DATA (sample, sim, a folder); val gives the loss of mAP"
    parser.add_argument("--int8", metavar="DATA", help=int8)
    return parser


if __name__ == "__main__":
    sys.exit(main())
