"""The forecast head, and physics on what it says: cases with an obvious answer, and the same bits every time."""

import numpy as np
import pytest
import torch

from sceneminer.model.forecast import AGENTS, EGO_KNOTS_S, FORECAST_BUDGET, FUTURES, STEPS, ForecastHead
from sceneminer.model.forecast_risk import camera_risk, ego_path, trajectories
from sceneminer.model.heads import build_head
from sceneminer.model.initial import initialise_head
from sceneminer.model.stream import Stream


def make_head(*, trained: bool = True) -> ForecastHead:
    head = ForecastHead(token_width=32)
    initialise_head(head, seed=3)
    if trained:
        generator = torch.Generator().manual_seed(0)
        for part in (head.say, head.believe, head.ego.say):
            part.weight.data = 0.2 * torch.randn(part.weight.shape, generator=generator)
    return head.requires_grad_(False)


def make_stream(clips: int = 3) -> Stream:
    generator = torch.Generator().manual_seed(1)
    return Stream(torch.randn(clips, 4, 32, generator=generator).half(), torch.zeros(clips, 8).half())


def one_agent(*, xy=(20.0, 0.0), velocity=(0.0, 0.0), speed=10.0, exists=1.0, kind=0, futures=None, odds=None):
    """A forecast of one agent; by default every future goes straight on."""
    after = 0.5 * np.arange(1, STEPS + 1)[:, None]
    straight = np.asarray(xy) + after * np.asarray(velocity)
    yaw = np.arctan2(velocity[1], velocity[0]) if np.hypot(*velocity) > 0 else 0.0
    agents = np.array([[*xy, yaw, *velocity, 0.0, 4.5, 1.8, exists]])
    return {
        "agents": agents,
        "kind": np.eye(3)[[kind]],
        "futures": np.tile(straight, (1, FUTURES, 1, 1)) if futures is None else futures,
        "starts": np.tile(np.asarray(xy, float), (1, FUTURES, 1)),
        "odds": np.full((1, FUTURES), 1 / FUTURES) if odds is None else odds,
        "ego": np.tile([speed, 0.0], (len(EGO_KNOTS_S), 1)),
    }


def test_it_keeps_to_its_budget_and_reads_the_stream_alone():
    head = ForecastHead(token_width=256)
    assert sum(p.numel() for p in head.parameters()) <= FORECAST_BUDGET
    assert head.reads == ("tokens",)


def test_before_training_futures_are_constant_velocity_and_hardly_anybody_is_believed_in():
    said = make_head(trained=False)(make_stream())
    assert torch.equal(said["futures"], said["agents"][:, :, None, None, :2].expand_as(said["futures"]))
    assert torch.equal(said["starts"], said["agents"][:, :, None, :2].expand_as(said["starts"]))
    assert (said["agents"][..., 8] < 0.25).all()
    assert torch.equal(said["ego"], torch.zeros(3, len(EGO_KNOTS_S), 2))


def test_agents_come_in_the_order_of_belief_and_far_enough_apart():
    said = make_head()(make_stream())
    exists = said["agents"][..., 8]
    assert said["agents"].shape == (3, AGENTS, 9)
    assert ((exists[:, :-1] >= exists[:, 1:]) | (exists[:, 1:] == exists[:, 1:].clone())).all()
    first = said["agents"][0, :2, :2]
    assert (first[0] - first[1]).norm() >= 2.0
    assert torch.allclose(said["odds"].sum(-1), torch.ones(3, AGENTS))


def test_a_clip_gives_the_same_bits_whatever_else_is_in_the_call():
    head, stream = make_head(), make_stream()
    alone = head(stream[1:2])
    again = make_head()(make_stream()[1:2])
    assert all(torch.equal(alone[name], again[name]) for name in alone)


def test_a_checkpoint_describes_it():
    head = make_head()
    built = build_head(head.document(), embed_dim=8, token_width=32)
    built.load_state_dict(head.state_dict())
    assert all(
        torch.equal(a, b) for a, b in zip(head(make_stream()).values(), built(make_stream()).values(), strict=True)
    )
    with pytest.raises(ValueError, match="sizes"):
        build_head(head.document() | {"width": "96"}, embed_dim=8, token_width=32)


def test_a_car_that_stands_in_the_way_is_dangerous_and_named():
    found = camera_risk(one_agent(xy=(14.0, 0.0)))
    assert found.risk > 0.6
    assert (found.agent, found.kind) == (0, "vehicle")
    assert found.x_m == pytest.approx(14.0)
    assert found.y_m == pytest.approx(0.0)
    assert found.measure in ("ttc_turn_s", "drac_mps2", "ttc_s")
    assert found.value is not None and np.isfinite(found.value)
    assert 0.0 <= (found.after_s or 0.0) <= 2.0


def test_risk_falls_with_distance_and_is_nothing_where_nobody_is_in_the_way():
    near, far = (camera_risk(one_agent(xy=(x, 0.0))).risk for x in (12.0, 45.0))
    assert near > far
    assert camera_risk(one_agent(xy=(14.0, 12.0))).risk == pytest.approx(0.0, abs=1e-3)
    assert camera_risk(one_agent(exists=0.0)).agent is None


def test_risk_is_in_proportion_to_belief():
    sure, doubted = (camera_risk(one_agent(xy=(14.0, 0.0), exists=e)).risk for e in (1.0, 0.5))
    assert doubted == pytest.approx(0.5 * sure)


def test_risk_is_the_mean_over_futures_by_their_odds():
    """One future runs into ego's path, five stay beside it: risk follows the odds of the one."""
    after = 0.5 * np.arange(1, STEPS + 1)
    stays = np.stack([np.full(STEPS, 16.0), np.full(STEPS, 8.0)], -1)
    crosses = np.stack([np.full(STEPS, 16.0), 8.0 - 5.0 * after], -1)
    futures = np.stack([crosses, *[stays] * (FUTURES - 1)])[None]

    def risk(odds: float) -> float:
        given = np.array([[odds, *[(1 - odds) / (FUTURES - 1)] * (FUTURES - 1)]])
        return camera_risk(one_agent(xy=(16.0, 8.0), kind=1, futures=futures, odds=given)).risk

    assert risk(0.0) <= risk(0.3) <= risk(1.0)
    assert risk(1.0) > 0.05
    assert camera_risk(one_agent(xy=(16.0, 8.0), futures=futures)).ambiguity_m > 3.0


def test_ambiguity_is_nothing_where_all_futures_agree():
    assert camera_risk(one_agent()).ambiguity_m == pytest.approx(0.0, abs=1e-9)


def test_paths_go_straight_back_and_through_every_future_point():
    forecast = one_agent(xy=(10.0, 2.0), velocity=(-4.0, 1.0))
    path = trajectories(forecast, np.array([0]))[0, 0]
    assert path[0] == pytest.approx([16.0, 0.5])
    assert path[15] == pytest.approx([10.0, 2.0])
    assert path[20] == pytest.approx([8.0, 2.5])
    assert path[-1] == pytest.approx([-6.0, 6.0])


def test_ego_at_constant_speed_and_turn_rate_drives_a_circle():
    times = np.round(np.arange(-1.5, 4.05, 0.1), 6)
    constant = np.ones((len(EGO_KNOTS_S), 1))
    ego = ego_path(constant * [10.0, 0.2], (times * 1e6).astype(np.int64), times)
    radius = 10.0 / 0.2
    assert ego.x_m == pytest.approx(radius * np.sin(0.2 * times))
    assert ego.y_m == pytest.approx(radius * (1 - np.cos(0.2 * times)))
    assert ego.yaw_rad == pytest.approx(0.2 * times)
    straight = ego_path(constant * [10.0, 0.0], (times * 1e6).astype(np.int64), times)
    assert straight.x_m == pytest.approx(10 * times)
    assert straight.y_m == pytest.approx(0 * times)


def test_ego_that_brakes_goes_as_far_as_its_speed_allows():
    times = np.round(np.arange(-1.5, 4.05, 0.1), 6)
    speed = 10.0 - 2.0 * np.array(EGO_KNOTS_S)
    ego = ego_path(np.stack([speed, 0 * speed], 1), (times * 1e6).astype(np.int64), times)
    assert ego.speed_mps == pytest.approx(10.0 - 2.0 * times)
    assert ego.x_m == pytest.approx(10.0 * times - times**2)
    assert ego.y_m == pytest.approx(0 * times)
