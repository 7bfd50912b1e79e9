"""tdt4265.speed by a clock of the test's own."""

import pytest
from helpers import Oracle

from tdt4265 import speed


def test_speed_counts_frames_not_batches(monkeypatch):
    """By a clock that each call moves on by 2 ms and by 8 ms a frame, the three calls to warm up by much more."""

    class Slow(Oracle):
        def forward(self, images, targets=None):
            nonlocal clock
            warm = self.batches.count(len(images)) >= 3
            clock += 0.002 + 0.008 * len(images) if warm else 10
            return super().forward(images)

    clock = 0.0
    monkeypatch.setattr(speed, "now", lambda device: clock)
    model = Slow().train()
    table = speed.measure_speed(model, (3, 8, 16), batch_sizes=(1, 4), seconds=0.335)
    assert model.batches == [1] * (3 + 34) + [4] * (3 + 10)  # 34 x 10 ms, 10 x 34 ms
    assert table["batch size"].tolist() == [1, 4]
    assert table["frames a second"].tolist() == pytest.approx([100, 4 / 0.034])
    assert table["milliseconds a frame"].tolist() == pytest.approx([10, 8.5])
    assert table["device"].iloc[0]
    assert model.training
