"""Training a detector on PyTorch Lightning's Fabric: the loop, its checkpoints, and going on after an interruption."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TrainingConfig:
    """How a detector is trained. The defaults are the course's reports'."""

    optimizer: str = "sgd"  # "sgd" or "adamw"
    lr: float = 2.6e-3  # the peak: what warm-up climbs to
    weight_decay: float = 5e-4  # not applied to biases and norms (parameters of fewer than two dimensions)
    momentum: float = 0.9  # SGD's; AdamW keeps its own betas
    batch_size: int = 32  # frames a step, of one process
    warmup_iterations: int = 500  # steps of linear warm-up, so that the first, large gradients move little
    schedule: str = "constant"  # "constant", or "one_cycle": a cosine down to zero at the last step
    clip_norm: float | None = None  # the gradient's largest norm; None leaves it as it is
