"""The simulator's worlds: what stands in them, who moves how, and that they are the same each time."""

import dataclasses
from collections import Counter

import numpy as np
import pytest

from tdt4265.lidar import (
    buildings,
    check,
    furniture,
    pedestrians,
    people,
    plants,
    road_users,
    sensor,
    shops,
    traffic,
    vehicles,
)
from tdt4265.lidar.dressing import dress
from tdt4265.lidar.scene import Mesh
from tdt4265.lidar.shapes import Palette, box, ellipsoid, join, tube
from tdt4265.lidar.street import KERB, make_street
from tdt4265.lidar.world import make_world

CLIPS = [("train", clip) for clip in range(24)] + [("val", clip) for clip in range(12)]


@pytest.fixture(scope="module")
def worlds():
    return {(split, clip): make_world(clip, split) for split, clip in CLIPS}


def test_same_seed_same_world_and_another_clip_another():
    first, again, other = make_world(3), make_world(3), make_world(4)
    np.testing.assert_array_equal(first.static.vertices, again.static.vertices)
    np.testing.assert_array_equal(first.sensor_path, again.sensor_path)
    assert first.materials == again.materials
    for a, b in zip(first.users, again.users, strict=True):
        assert a.category == b.category
        one, two = a.mesh(2.35), b.mesh(2.35)
        assert (one is None) == (two is None)
        if one is not None:
            np.testing.assert_array_equal(one.vertices, two.vertices)
    assert len(first.static.vertices) != len(other.static.vertices)


def test_worlds_are_whole(worlds):
    for world in worlds.values():
        meshes = [world.static] + [m for u in world.users if (m := u.mesh(4.2)) is not None]
        for mesh in meshes:
            assert np.isfinite(mesh.vertices).all()
            assert mesh.faces.min() >= 0 and mesh.faces.max() < len(mesh.vertices)
            assert len(mesh.materials) == len(mesh.faces)
            assert 0 <= mesh.materials.min() and mesh.materials.max() < len(world.materials)
        assert 50_000 < len(world.static.faces) <= 320_000
        names = {world.materials[i].name for i in np.unique(world.static.materials)}
        assert {"asphalt", "paving", "kerb", "bark", "glass", "window frame", "sign", "lamp post"} <= names
        assert {"leaves", "needle leaves", "grass", "road marking"} <= {m.name for m in world.materials}
        assert world.sensor_path.shape == (101, 4)
        assert np.linalg.norm(world.sun) == pytest.approx(1.0) and world.sun[2] > 0


def test_a_materials_optics_are_its_fields(worlds):
    """Every world has mirrors, panes and leaves; panes are glass and mirror, walls and road markings do not."""
    glossy = {"paint", "bus paint", "cab paint", "rim", "glass", "car glass", "bus glass", "truck glass", "headlamp"}
    dull = {"road marking", "window frame", "tyre", "asphalt", "paving", "kerb", "jacket", "skin", "bark"}
    leafy = {"leaves", "needle leaves", "grass"}
    for world in worlds.values():
        assert any(m.gloss for m in world.materials)
        static = [world.materials[i] for i in np.unique(world.static.materials)]
        assert any(m.pane for m in static) and any(m.translucent for m in static)
        for material in world.materials:
            assert material.gloss or not material.pane
            assert material.pane == ("glass" in material.name), material
            assert material.translucent == (material.name in leafy), material
            assert material.gloss or material.name not in glossy, material
            assert not material.gloss or not (material.name in dull or material.name.endswith("wall")), material
            if material.name in ("glass", "car glass", "bus glass", "truck glass"):
                assert 0.15 <= material.dropout <= 0.4
            if material.translucent:
                assert material.dropout <= 0.01


def test_casts_are_drawn_in_their_due_shares():
    """A thousand casts of each split: every kind of street, the usual counts, and more of the rare classes in val."""
    rng = np.random.default_rng(0)
    casts = {split: [traffic.draw_cast(rng, split) for _ in range(1000)] for split in ("train", "val")}
    for split, drawn in casts.items():
        kinds = [cast.street for cast in drawn]
        for kind, usual in traffic.CUSTOMS.items():
            assert kinds.count(kind) / 1000 == pytest.approx(usual.chance, abs=0.05)
            assert np.mean([c.cars for c in drawn if c.street == kind]) == pytest.approx(usual.cars, rel=0.2)
        for name, mean in traffic.RARE[split].items():
            assert np.mean([getattr(cast, name) for cast in drawn]) == pytest.approx(mean, abs=0.1)
        assert {cast.apart for cast in drawn} == {True, False} and min(cast.speed for cast in drawn) == 0
    assert len({cast.cars for cast in casts["train"]}) == 1000, "no cast comes twice"
    sizes = np.array([cast.crowd for drawn in casts.values() for cast in drawn])
    assert (sizes > 0).mean() == pytest.approx(traffic.CROWDED, abs=0.03)
    assert sizes[sizes > 0].min() >= traffic.CROWD[0] and 45 < sizes.max() <= traffic.CROWD[1]
    assert sum(usual.chance for usual in traffic.CUSTOMS.values()) == pytest.approx(1)


def test_every_class_is_in_some_world(worlds):
    for split in ("train", "val"):
        seen = {user.category for (s, _), world in worlds.items() if s == split for user in world.users}
        assert seen >= set(range(1, 9)) - {road_users.MOTORCYCLE, road_users.TRUCK}


def test_a_world_lasts_as_long_as_it_is_asked_for(worlds):
    lengths = {seconds: len(make_world(3, seconds=seconds).sensor_path) for seconds in (0.0, 0.5, 2.0, 9.9, 12.0)}
    assert lengths == {0.0: 11, 0.5: 11, 2.0: 21, 9.9: 101, 12.0: 121}
    np.testing.assert_array_equal(make_world(3, seconds=9.9).sensor_path, worlds["train", 3].sensor_path)
    for world in (make_world(clip, seconds=2.0) for clip in range(8)):
        for user in world.users:
            assert len(user.motion.poses) == len(world.sensor_path)


def test_the_sensor_looks_in_any_direction_of_the_street(worlds):
    """The angle between where it looks and where the street leads is spread over the circle."""
    headings = np.array([world.sensor_path[50, 3] for world in worlds.values()])
    quarters = np.histogram(headings % (2 * np.pi), 4, (0, 2 * np.pi))[0]
    assert quarters.min() >= 3, "of 36; a street leads along +x where the sensor is"


def test_sensor_stands_free(worlds):
    """Nothing, neither street nor road user, is within a metre of the sensor, nor is it inside a solid."""
    around = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    level = np.stack([np.cos(around), np.sin(around), 0 * around], 1)
    sloping = np.stack([np.cos(around), np.sin(around), -0.35 + 0 * around], 1)
    rays = np.concatenate([level, sloping, [[0, 0, 1]]]).astype(np.float32)
    for key, world in worlds.items():
        street = sensor.Tracer(world.static)
        for t in (0.0, 3.3, 6.6, 10.0):
            users = sensor.Tracer(join(u.mesh(t) for u in world.users))
            origin = world.sensor_path[round(10 * t), :3]
            distance = np.minimum(street.nearest(origin, rays)[0], users.nearest(origin, rays)[0])
            assert distance.min() > 1.0, (key, t, distance.min())
            assert np.median(distance) > 3.0, (key, t)


def crowded(clip, count=40):
    """The persons of a street with a crowd of `count`, their places [N, 3] after a second, and the sensor's path."""
    rng, palette = np.random.default_rng([clip, 9]), Palette()
    cast = dataclasses.replace(traffic.draw_cast(rng, "train"), crowd=count, persons=0.0)
    street, own = make_street(rng, cast.street), traffic.drive(cast, 2.0)
    _, dresser = dress(rng, street, palette, (own.min(), own.max()))
    path, users = pedestrians.populate(rng, street, dresser, palette, cast, own)
    people = [user for user in users if user.category == road_users.PERSON]
    return people, np.array([user.motion.at(1.0)[0][:3] for user in people]), path


def test_a_crowd_stands_or_walks_together():
    for clip in range(12):
        people, places, path = crowded(clip)
        assert 36 <= len(people) <= 40, "those that would come too close to the sensor are left out"
        apart = np.hypot(*(places[:, None] - places[None])[..., :2].transpose(2, 0, 1)) + 99 * np.eye(len(places))
        assert np.median(np.sort(apart, axis=1)[:, 2]) < 1.3, "the third neighbour is close"
        assert np.median(apart.min(1)) > 0.3
        assert len({round(user.motion.speed(1.0), 1) for user in people}) <= 3, "all walk at one pace"
        away = np.hypot(*(np.array([u.motion.poses[:, :2] for u in people]) - path[:, :2]).transpose(2, 0, 1))
        assert away.min() > 2.0


def test_some_people_are_close_to_the_sensor_and_some_stand_on_steps(worlds):
    """Their feet touch what is below them: paving, grass or a landing."""
    close, off, below = 0, [], Counter()
    for world in worlds.values():
        street = sensor.Tracer(world.static)
        for user in world.users:
            if user.category == road_users.PERSON:
                x, y, z = user.motion.at(5.0)[0][:3]
                close += np.hypot(*(world.sensor_path[50, :2] - (x, y))) < pedestrians.CLOSE[1]
                reach, face = street.nearest(np.array([x, y, z + 0.3]), np.array([[0.0, 0, -1]], np.float32))
                off.append(abs(reach[0] - 0.3))
                below[world.materials[world.static.materials[face[0]]].name] += 1
    assert close >= 5 and below["steps"] >= 5 and below["paving"] > 50
    assert np.mean(np.array(off) < 0.08) > 0.9


def test_clutter_is_where_faces_say(worlds):
    """Every kind occurs, each thing has its own faces, and these are no larger than such a thing."""
    kinds = set()
    for world in worlds.values():
        assert len(world.clutter_of_face) == len(world.static.faces)
        thing, faces = np.unique(world.clutter_of_face, return_counts=True)
        assert thing.tolist() == list(range(-1, len(world.clutter))) and faces.min() >= 4
        kinds |= set(world.clutter)
        for index, kind in enumerate(world.clutter):
            if kind in ("bench", "bin", "trailer", "planter", "sign board"):
                corners = world.static.vertices[world.static.faces[world.clutter_of_face == index]].reshape(-1, 3)
                assert np.ptp(corners, axis=0).max() < 7.5, kind
    assert kinds == set(check.CLUTTER)


def test_no_car_stands_in_a_trailer(worlds):
    large = {road_users.CAR, road_users.BUS, road_users.TRUCK}
    for key, world in worlds.items():
        for index in np.flatnonzero([kind == "trailer" for kind in world.clutter]):
            corners = world.static.vertices[world.static.faces[world.clutter_of_face == index]].reshape(-1, 3)
            at = [user.motion.at(5.0)[0][:2] for user in world.users if user.category in large]
            assert all(np.hypot(*(corners[:, :2].mean(0) - place)) > 1.7 for place in at), key


def test_motion_is_continuous_and_of_human_speed(worlds):
    limits = {road_users.PERSON: 2.0, road_users.RIDER: 6.5, road_users.CAR: 12.5, road_users.BUS: 12.5}
    for world in worlds.values():
        for user in world.users:
            speed = np.hypot(*np.diff(user.motion.poses[:, :2], axis=0).T) * 10
            assert speed.max() < 1.35 * limits.get(user.category, 10.0)  # 1.35: the outside of a bend
            a, b = user.motion.at(3.0)[0], user.motion.at(3.01)[0]
            assert np.abs(b[:2] - a[:2]).max() < 0.2


def test_vehicles_do_not_stand_in_one_another(worlds):
    large = {road_users.CAR, road_users.BUS, road_users.TRUCK}
    for key, world in worlds.items():
        at = np.array([u.motion.at(5.0)[0][:2] for u in world.users if u.category in large])
        apart = np.hypot(*(at[:, None] - at[None]).transpose(2, 0, 1)) + 99 * np.eye(len(at))
        assert apart.min(initial=99) > 1.7, key


# Metres long (between the outermost points along x), wide and high.
SIZES = {
    vehicles.make_car: ((3.3, 5.7), (1.6, 2.5), (1.3, 2.4)),
    vehicles.make_truck: ((5.7, 14.5), (1.9, 3.1), (2.2, 4.2)),
    vehicles.make_bicycle: ((1.5, 2.0), (0.3, 0.7), (0.9, 1.3)),
    vehicles.make_scooter: ((0.95, 1.3), (0.35, 0.6), (1.0, 1.35)),
    vehicles.make_motorcycle: ((1.7, 2.3), (0.6, 0.9), (1.0, 1.4)),
}


@pytest.mark.parametrize("make", SIZES, ids=lambda make: make.__name__)
def test_vehicles_have_their_real_size(make):
    rng, palette = np.random.default_rng(0), Palette()
    for _ in range(20):
        mesh = make(rng, palette)
        assert np.isfinite(mesh.vertices).all() and 0 <= mesh.faces.min() and mesh.faces.max() < len(mesh.vertices)
        assert len(mesh.materials) == len(mesh.faces) and mesh.materials.max() < len(palette.materials)
        extent = np.ptp(mesh.vertices, axis=0)
        for length, (low, high) in zip(extent, SIZES[make], strict=True):
            assert low < length < high, extent
        assert abs(mesh.vertices[:, 2].min()) < 0.06  # wheels on the ground


def test_buses_are_rigid_or_articulated_and_long_ones_may_be_bent():
    rng, palette = np.random.default_rng(0), Palette()
    rigid, articulated = [], []
    for _ in range(40):
        mesh = vehicles.make_bus(rng, palette)
        assert np.isfinite(mesh.vertices).all() and abs(mesh.vertices[:, 2].min()) < 0.06
        assert 2.9 < np.ptp(mesh.vertices[:, 2]) < 3.8
        bellows = {palette.materials[i].name for i in np.unique(mesh.materials)} & {"bellows"}
        (articulated if bellows else rigid).append(np.ptp(mesh.vertices[:, :2], axis=0))
    rigid, articulated = np.array(rigid), np.array(articulated)
    assert rigid[:, 0].min() > 9.4 and rigid[:, 0].max() < 14.8 and (abs(rigid[:, 1] - 2.85) < 0.35).all()
    assert 5 <= len(articulated) <= 20
    assert 15.5 < articulated[:, 0].min() and 18.0 < articulated[:, 0].max() < 25.0
    assert articulated[:, 1].min() < 3.5 < articulated[:, 1].max() < 12  # straight, and bent


def test_people_are_of_human_size_and_mostly_in_bright_clothes():
    """Most cloth is bright in the near infrared; a sixth of the jackets is dark."""
    rng, palette = np.random.default_rng(0), Palette()
    heights, widths = [], []
    for _ in range(200):
        body = people.make_body(rng, palette)
        assert np.isfinite(body.shape.vertices).all()
        standing = body.pose(np.zeros(len(road_users.PARTS)), body.hip_height)
        _, width, height = np.ptp(standing.vertices, axis=0)
        heights.append(height), widths.append(width)
    assert np.mean(heights) == pytest.approx(1.72, abs=0.03) and 1.4 < min(heights) < max(heights) < 2.1
    assert 0.48 < np.median(widths) < 0.62
    jackets = np.array([m.reflectivity for m in palette.materials if m.name == "jacket"])
    assert 0.08 < (jackets < 0.3).mean() < 0.24 and (jackets > 0.6).mean() > 0.6
    assert people.make_body(rng, palette, child=True).hip_height < 0.8


@pytest.mark.parametrize("conifer", [False, True])
@pytest.mark.parametrize("foliage", [0.0, 1.0])
def test_trees_stand_on_the_ground_and_are_as_tall_as_asked(conifer, foliage):
    rng, palette = np.random.default_rng(0), Palette()
    season = dataclasses.replace(plants.season(rng, palette), foliage=foliage)
    for height in (6.0, 15.0):
        mesh = plants.tree(rng, season, height, conifer=conifer, budget=500)
        assert np.isfinite(mesh.vertices).all()
        assert 0.6 * height < mesh.vertices[:, 2].max() < 1.6 * height
        assert -1.0 < mesh.vertices[:, 2].min() <= 0
        assert 0.2 * height < np.ptp(mesh.vertices[:, 0]) < 1.5 * height


def test_furniture_and_buildings_have_their_real_size():
    rng, palette = np.random.default_rng(0), Palette()
    season = plants.season(rng, palette)
    heights = {
        furniture.lamp_post: (3.5, 9.5),
        furniture.sign_post: (2.3, 3.4),
        furniture.traffic_light: (3.3, 3.7),
        furniture.shelter: (2.3, 2.7),
        furniture.bollard: (0.4, 1.1),
        furniture.bench: (0.6, 0.95),
        furniture.litter_bin: (0.6, 1.2),
        furniture.cabinet: (0.8, 3.1),
        furniture.column: (3.5, 13.0),
        furniture.playground: (2.2, 2.5),
    }
    heights |= {
        furniture.trailer: (0.8, 2.4),
        furniture.sign_board: (0.7, 1.4),
        furniture.recycling: (0.9, 1.5),
        lambda *how: furniture.railing(*how, 6.0): (0.85, 1.25),
        lambda *how: furniture.cafe(*how, 3): (0.8, 2.6),
        lambda *how: furniture.platform(*how, 5.0, 2.0, 0.8): (0.75, 2.4),
        lambda *how: shops.display(*how, 2.5, 0.4, 2.7): (2.2, 2.4),
    }
    meshes = [(make(rng, palette), low, high) for make, (low, high) in heights.items() for _ in range(5)]
    meshes.append((furniture.planter(rng, palette, season), 0.5, 2.2))
    meshes.append((furniture.fence(rng, palette, 7.0), 0.7, 1.8))
    meshes.append((furniture.bicycle_rack(rng, palette, 5, [vehicles.make_bicycle(rng, palette)]), 0.7, 1.4))
    meshes.append((buildings.building(rng, palette, 12.0, 9.0, 6.0, gabled=True)[0], 8.0, 13.5))
    meshes.append((buildings.building(rng, palette, 12.0, 9.0, 6.0, gabled=False, far=True)[0], 7.9, 9.0))
    for mesh, low, high in meshes:
        assert np.isfinite(mesh.vertices).all() and mesh.faces.max() < len(mesh.vertices)
        assert len(mesh.materials) == len(mesh.faces) and mesh.materials.max() < len(palette.materials)
        assert low < np.ptp(mesh.vertices[:, 2]) < high, palette.materials[mesh.materials[0]].name


def test_walker_swings_its_legs_and_keeps_its_feet_on_the_ground():
    rng, palette = np.random.default_rng(1), Palette()
    street = make_street(rng, "street")
    time = np.arange(101) / 10
    motion = street.motion(-5 + 1.4 * time, 8.0, 0.0)
    person = road_users.Person(road_users.PERSON, people.make_body(rng, palette), motion)
    lengths, lowest, highest = [], [], []
    for t in np.arange(0, 2, 0.1):
        mesh, ground = person.mesh(t), motion.at(t)[0][2]
        along = np.array([np.cos(motion.at(t)[0][3]), np.sin(motion.at(t)[0][3])])
        lengths.append(np.ptp(mesh.vertices[:, :2] @ along))
        lowest.append(mesh.vertices[:, 2].min() - ground)
        highest.append(mesh.vertices[:, 2].max() - ground)
    assert max(lengths) - min(lengths) > 0.15
    assert max(np.abs(lowest)) < 0.15
    assert 1.4 < max(highest) < 2.1


def test_pavement_lies_a_kerb_above_the_road():
    street = make_street(np.random.default_rng(2), "street")
    s = street.blocks[1][0][0] + 3.0
    road = street.motion(s, 0.2, 0.0).poses[0, 2] - street.height(s, 0.2)
    pavement = street.motion(s, street.front(1) - 0.1, 0.0).poses[0, 2] - street.height(s, street.front(1) - 0.1)
    assert road == pytest.approx(0.0) and pavement == pytest.approx(KERB)


@pytest.mark.parametrize(
    "mesh",
    [
        box((1, 2, 3), 0),
        ellipsoid((1, 1, 1), 0, sides=24),
        tube(np.array([[0, 0, 0], [0, 0, 2.0]]), 0.5, 0, 24, caps=True),
    ],
)
def test_solids_are_closed(mesh: Mesh):
    """The volume by the divergence theorem is a closed solid's own (a sphere's, a cylinder's, a box's)."""
    a, b, c = mesh.vertices[mesh.faces].astype(float).transpose(1, 0, 2)
    volume = abs(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6)
    extent = np.ptp(mesh.vertices, axis=0).prod()
    assert 0.45 * extent < volume <= 1.001 * extent
