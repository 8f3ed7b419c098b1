"""Meshes fill the boxes that are annotated, carry a material, and cover every category and kind of prop."""

from dataclasses import replace

import numpy as np
import pytest

from sceneminer.data.synth.catalog import BODIES
from sceneminer.data.synth.mesh_street import prop_mesh
from sceneminer.data.synth.mesh_thing import actor_mesh, is_walker
from sceneminer.data.synth.props import PROP_KINDS
from sceneminer.data.synth.scene import MATERIALS, Actor, Prop
from sceneminer.data.synth.style import draw_style

STYLE = draw_style("train", np.random.default_rng(0))


def make_actor(category: str, seed: int) -> Actor:
    body = BODIES[category][seed % len(BODIES[category])]
    l, w, h = (1.0 + 0.04 * seed) * np.array(body.size_lwh_m)
    size, state = (float(l), float(w), float(h)), np.zeros((1, 5))
    return Actor(
        seed, category, size, (0.6, 0.1, 0.1), (0.2, 0.3, 0.6), seed, state, np.ones(1, bool), rider=seed % 2 == 0
    )


def extent(soup) -> tuple[np.ndarray, np.ndarray]:
    corners = soup.xyz.reshape(-1, 3)
    return corners.min(0), corners.max(0)


@pytest.mark.parametrize("category", sorted(BODIES))
def test_mesh_fills_its_box(category: str) -> None:
    for seed in range(3):
        actor = make_actor(category, seed)
        low, high = extent(actor_mesh(actor))
        l, w, h = actor.size_lwh_m
        assert np.allclose(low, [-l / 2, -w / 2, 0.0], atol=1e-4)
        assert np.allclose(high, [l / 2, w / 2, h], atol=1e-4)


@pytest.mark.parametrize("category", sorted(c for c in BODIES if is_walker(c)))
def test_walk_stays_in_the_box_and_reaches_its_length(category: str) -> None:
    actor = make_actor(category, 3)
    l, w, h = actor.size_lwh_m
    ends = [extent(actor_mesh(actor, phase=phase)) for phase in range(0, 16, 2)]
    low, high = np.min([e[0] for e in ends], 0), np.max([e[1] for e in ends], 0)
    assert np.allclose(low, [-l / 2, -w / 2, 0], atol=1e-3)
    assert np.allclose(high, [l / 2, w / 2, h], atol=1e-3)
    steps = [actor_mesh(actor, phase=phase).xyz for phase in (0, 4)]
    assert np.abs(steps[0] - steps[1]).max() > 0.05 * h  # limbs do move


def test_triangles_are_complete() -> None:
    for category in BODIES:
        soup = actor_mesh(make_actor(category, 1))
        assert np.all(soup.material < len(MATERIALS))
        assert np.allclose(np.linalg.norm(soup.normal, axis=-1), 1.0, atol=1e-3)
        assert np.all(np.isfinite(soup.uv)) and soup.rgb.min() >= 0.0 and soup.rgb.max() <= 1.0


def test_body_styles_look_different() -> None:
    shapes = {len(actor_mesh(make_actor("vehicle.truck", seed)).xyz) for seed in range(7)}
    assert len(shapes) >= 3


@pytest.mark.parametrize("kind", sorted(PROP_KINDS))
def test_every_prop_kind_has_a_mesh(kind: str) -> None:
    prop = Prop(kind, np.array([0.0, 0.0, 0.0, 0.0]), (2.0, 2.5, 4.0), (0.4, 0.4, 0.4), 17)
    soup = prop_mesh(prop, STYLE)
    low, high = extent(soup)
    assert len(soup) >= 6 and high[2] > 0.5 and low[2] > -0.6
    again = prop_mesh(prop, STYLE)
    assert np.array_equal(soup.xyz, again.xyz) and np.array_equal(soup.rgb, again.rgb)


def test_unknown_kinds_are_named() -> None:
    prop = Prop("gazebo", np.zeros(4), (2.0, 2.0, 2.0), (0.4, 0.4, 0.4), 1)
    with pytest.raises(ValueError, match="gazebo"):
        prop_mesh(prop, STYLE)
    with pytest.raises(ValueError, match=r"vehicle\.tank"):
        actor_mesh(replace(make_actor("vehicle.car", 1), category="vehicle.tank"))
