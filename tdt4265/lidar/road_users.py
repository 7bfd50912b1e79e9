"""Road users of all eight classes and how they move; how they are built: `vehicles.py`, `people.py`.

A user is built once, in its own coordinates (origin on the ground below its middle, front along +x), and set into the
world at every time by its `Motion`; limbs swing with the distance travelled, so feet do not slide.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .scene import Mesh
from .shapes import join

CAR, TRUCK, BUS, MOTORCYCLE, BICYCLE, SCOOTER, PERSON, RIDER = range(1, 9)
VISIBLE_RANGE = 180.0  # metres; a car farther off is less than three rows high


@dataclass(frozen=True)
class Motion:
    """Where a user is at times 0, 0.1, 0.2, ... seconds.

    poses: float64 [T, 5], x, y, z (of the ground below), heading, slope (rise per metre ahead).
    travel: float64 [T], metres travelled since the start.
    """

    poses: np.ndarray
    travel: np.ndarray

    def at(self, t: float) -> tuple[np.ndarray, float]:
        """Pose [5] and travel at time t, between the samples linearly."""
        before, share = self._sample(t)
        if share == 0:
            return self.poses[before], float(self.travel[before])
        step = self.poses[before + 1] - self.poses[before]
        step[3] = (step[3] + np.pi) % (2 * np.pi) - np.pi
        return self.poses[before] + share * step, float(self.travel[before]) + share * self.speed(t) / 10

    def speed(self, t: float) -> float:
        """Metres per second at time t."""
        before, _ = self._sample(t)
        if len(self.travel) == 1:
            return 0.0
        return 10 * float(self.travel[before + 1] - self.travel[before])

    def _sample(self, t: float) -> tuple[int, float]:
        """The sample before time t, and how far t is from it to the next, 0..1."""
        sample = float(np.clip(t * 10, 0, len(self.poses) - 1))
        before = max(0, min(int(sample), len(self.poses) - 2))
        return before, sample - before


def visible(pose: np.ndarray) -> bool:
    """Whether what is at a pose is near enough to be seen."""
    return np.hypot(pose[0], pose[1]) < VISIBLE_RANGE


def placed(mesh: Mesh, pose: np.ndarray) -> Mesh:
    """The mesh at a pose."""
    return Mesh(placed_points(mesh.vertices, pose), mesh.faces, mesh.materials)


def placed_points(points: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """Points [N, 3] at a pose; sheared, not turned, along the slope: walls of a bus stay upright enough."""
    x, y, z, heading, slope = pose
    c, s = np.cos(heading), np.sin(heading)
    frame = np.array([[c, s, slope], [-s, c, 0], [0, 0, 1]], np.float32)
    return points @ frame + np.array([x, y, z], np.float32)


@dataclass
class Vehicle:
    """A rigid user: car, truck, bus, motorcycle, a standing bicycle or scooter."""

    category: int
    shape: Mesh
    motion: Motion

    def mesh(self, t: float) -> Mesh | None:
        pose, _ = self.motion.at(t)
        return placed(self.shape, pose) if visible(pose) else None


# The parts of a body, in the order of `Body.part`: each turns in the sagittal plane about its joint.
PARTS = ("torso", "head", "thigh_l", "thigh_r", "shin_l", "shin_r", "arm_l", "arm_r", "forearm_l", "forearm_r")
TORSO, HEAD = 0, 1
THIGHS, SHINS, ARMS, FOREARMS = slice(2, 4), slice(4, 6), slice(6, 8), slice(8, 10)  # left, right
# Torso and head stand on their joint (+x forward when tipped), limbs hang from theirs.
_HANGS = np.array([1, 1] + [-1] * 8, np.float32)
_LEFT_RIGHT = np.array([1, -1])

# COCO's 17 keypoints of a person, in its order.
KEYPOINTS = ("nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder")
KEYPOINTS += ("left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip")
KEYPOINTS += ("left_knee", "right_knee", "left_ankle", "right_ankle")
# Of the first five, relative to the head's joint, in the head's units; all others are joints, or a limb's end.
_FACE = np.array([[0.12, 0, 0.17], [0.1, 0.032, 0.205], [0.1, -0.032, 0.205], [0.02, 0.08, 0.19], [0.02, -0.08, 0.19]])
_JOINTS = ("arm", "forearm", "wrist", "thigh", "shin", "ankle")
_ENDS = {"wrist": "forearm", "ankle": "shin"}  # of which part


@dataclass
class Body:
    """A jointed human; lengths in metres.

    shape: vertices relative to each part's joint; part: int [V], index into PARTS.
    shoulder, neck: height above the hips. hip_half, shoulder_half: of the joints from the middle.
    arm_out, leg_out: how far upper arms and legs stand off, metres per metre.
    forearm, shin: to the wrist and to the ankle. head: the size of the head, 1 for an adult's.
    """

    shape: Mesh
    part: np.ndarray
    hip_height: float
    shoulder: float
    neck: float
    thigh: float
    upper_arm: float
    hip_half: float
    shoulder_half: float
    arm_out: float = 0.0
    leg_out: float = 0.0
    forearm: float = 0.25
    shin: float = 0.44
    head: float = 1.0

    def pose(self, angles: np.ndarray, lift: float) -> Mesh:
        """The body with the parts turned by `angles` [10] (radians from upright, forward positive); hips at `lift`."""
        vertices = self._posed(self.shape.vertices, self.part, angles, lift)
        return Mesh(vertices, self.shape.faces, self.shape.materials)

    def keypoints(self, angles: np.ndarray, lift: float) -> np.ndarray:
        """Where `KEYPOINTS` are in that pose: float32 [17, 3]."""
        points, parts = [*(self.head * _FACE)], [HEAD] * len(_FACE)
        lengths = {"wrist": (self.forearm, self.arm_out / 3), "ankle": (self.shin, self.leg_out)}
        for name in _JOINTS:
            length, out = lengths.get(name, (0.0, 0.0))
            for side, letter in zip(_LEFT_RIGHT, "lr", strict=True):
                points.append(np.array([0, side * out * length, -length]))
                parts.append(PARTS.index(f"{_ENDS.get(name, name)}_{letter}"))
        return self._posed(np.array(points, np.float32), np.array(parts), angles, lift)

    def _posed(self, points: np.ndarray, part: np.ndarray, angles: np.ndarray, lift: float) -> np.ndarray:
        """Points [N, 3], each relative to the joint of its part [N], in a pose."""
        sin, cos = (_HANGS * np.sin(angles)).astype(np.float32)[part], np.cos(angles).astype(np.float32)[part]
        x, y, z = points.T
        turned = np.stack([x * cos + z * sin, y, z * cos - x * sin], 1)
        return turned + self._joints(angles, lift).astype(np.float32)[part]

    def _joints(self, angles: np.ndarray, lift: float) -> np.ndarray:
        """Where each part's joint is: [10, 3]."""
        forward, up = np.sin(angles), np.cos(angles)
        joints = np.zeros((len(PARTS), 3))
        joints[:, 2] = lift
        torso = np.array([forward[TORSO], 0, up[TORSO]])
        joints[HEAD] += self.neck * torso
        joints[THIGHS, 1] = self.hip_half * _LEFT_RIGHT
        joints[ARMS] += self.shoulder * torso
        joints[ARMS, 1] = self.shoulder_half * _LEFT_RIGHT
        for upper, lower, length, out in (
            (THIGHS, SHINS, self.thigh, self.leg_out),
            (ARMS, FOREARMS, self.upper_arm, self.arm_out),
        ):
            joints[lower] = joints[upper] + length * np.stack([forward[upper], out * _LEFT_RIGHT, -up[upper]], 1)
        return joints


@dataclass
class Person:
    """A human on foot: walking where the motion moves, else standing or sitting."""

    category: int
    body: Body
    motion: Motion
    stride: float = 1.4  # metres a full cycle of both legs
    phase: float = 0.0
    sitting: bool = False
    arms: tuple[float, float] = (0.0, 0.0)  # added to the forearms: carrying, phoning
    swing: float = 1.0  # how far the arms swing

    def mesh(self, t: float) -> Mesh | None:
        pose, travel = self.motion.at(t)
        return placed(self.body.pose(*self._bearing(t, travel)), pose) if visible(pose) else None

    def keypoints(self, t: float) -> np.ndarray | None:
        """`KEYPOINTS` in world coordinates, float [17, 3]; None while it is not in the scene."""
        pose, travel = self.motion.at(t)
        return placed_points(self.body.keypoints(*self._bearing(t, travel)), pose) if visible(pose) else None

    def _bearing(self, t: float, travel: float) -> tuple[np.ndarray, float]:
        """The parts' angles [10] and the height of the hips."""
        if self.sitting:
            return _SITTING, 0.5
        angles = self._walking(float(np.clip(self.motion.speed(t), 0, 1)), travel)
        # The hips sink so that the standing foot stays on the ground.
        sink = self.body.hip_height * (1 - np.cos(np.abs(angles[THIGHS] - 0.04).max()))
        return angles, self.body.hip_height - 0.7 * sink

    def _walking(self, pace: float, travel: float) -> np.ndarray:
        """The parts' angles [10] after so many metres; pace: 0 standing, 1 walking."""
        cycle = 2 * np.pi * (travel / self.stride) + self.phase + np.array([0, np.pi])
        legs = 0.31 * pace * np.sin(cycle)
        angles = np.zeros(len(PARTS))
        angles[TORSO] = 0.06 * pace
        angles[THIGHS] = legs + 0.04
        angles[SHINS] = angles[THIGHS] - 0.75 * pace * np.clip(np.sin(cycle + 1.9), 0, None) - 0.05
        angles[ARMS] = -0.7 * self.swing * legs + 0.04
        angles[FOREARMS] = angles[ARMS] + 0.25 + np.array(self.arms)
        return angles


# By part: torso and head upright, thighs level, shins down, the hands in the lap.
_SITTING = np.array([0, 0, 1.45, 1.45, 0.1, 0.1, 0.3, 0.3, 1.1, 1.1])


@dataclass
class Rider:
    """A human on a bicycle, scooter or motorcycle. With `mount` the vehicle is part of the user (and of its box)."""

    category: int
    body: Body
    motion: Motion
    seat: float
    lean: float
    position: float = 0.0  # of the hips ahead of the vehicle's middle, metres
    kind: str = "bicycle"
    mount: Mesh | None = None
    phase: float = 0.0

    def mesh(self, t: float) -> Mesh | None:
        pose, travel = self.motion.at(t)
        if not visible(pose):
            return None
        body = self.body.pose(self._angles(travel), self.seat)
        body.vertices[:, 0] += self.position
        return placed(join([body, self.mount]), pose)

    def keypoints(self, t: float) -> np.ndarray | None:
        """`KEYPOINTS` of the human in world coordinates, float [17, 3]; None while it is not in the scene."""
        pose, travel = self.motion.at(t)
        if not visible(pose):
            return None
        points = self.body.keypoints(self._angles(travel), self.seat)
        points[:, 0] += self.position
        return placed_points(points, pose)

    def _angles(self, travel: float) -> np.ndarray:
        """The parts' angles [10] after so many metres."""
        angles = np.zeros(len(PARTS))
        angles[TORSO], angles[HEAD] = self.lean, 0.4 * self.lean
        angles[ARMS] = 0.75 + 0.5 * self.lean
        angles[FOREARMS] = angles[ARMS] + 0.35
        if self.kind == "bicycle":
            turn = 2 * np.pi * travel / 4.5 + self.phase + np.array([0, np.pi])
            angles[THIGHS] = 0.85 + 0.35 * np.sin(turn)
            angles[SHINS] = angles[THIGHS] - 1.0 + 0.3 * np.cos(turn)
        elif self.kind == "motorcycle":
            angles[THIGHS], angles[SHINS] = 1.15, -0.35
        else:  # standing on a kick-scooter, one foot behind the other
            angles[THIGHS], angles[SHINS] = (0.12, -0.12), (0.02, -0.2)
        return angles
