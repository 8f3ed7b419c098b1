"""Does adding a head move its siblings? The interference benchmark: one stream, many ways to add one sub-module.

Each seed trains (or takes) a trunk with an embedding and a tags head, then a first risk head, and freezes all of it.
Each arm then upgrades the risk head by a new sub-module with the same steps, rate and batches, and the siblings are
compared with what they were. ``sceneminer bench identity`` runs it; ``docs/results/identity.md`` is what it wrote.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor
from torch.nn import functional

from sceneminer.evals.identity_arms import ARMS, Arm, Setup, arrange, build
from sceneminer.evals.identity_data import BenchClips, BenchData
from sceneminer.evals.identity_system import Plan, System, batch_at, make_system, over_clips, train_base
from sceneminer.evals.zero_shot import average_precision, recall_at
from sceneminer.model.identity import IdentityBroken, check_optimiser, isolated, named, prove
from sceneminer.model.scene_model import SceneModel
from sceneminer.model.snapshot import Snapshot, compare, snapshot

_PROBE_CLIPS = 4


@dataclass(frozen=True)
class Quality:
    """Of siblings and the risk head on held-out clips."""

    tag_map: float
    retrieval_r1: float
    retrieval_r10: float
    retrieval_map: float
    risk_loss: float
    risk_spearman: float


@dataclass(frozen=True)
class ArmResult:
    """One arm, one seed. Differences are the largest over all clips and numbers of a sibling's signal."""

    arm: str
    seed: int
    trained: int
    """Parameters that the optimiser was given."""
    upgrade_at_0: float
    """How far the upgraded head was from the old one before any step, in probability."""
    at_0: dict[str, float]
    """By sibling, before any step."""
    after: dict[str, float]
    bits_equal: bool
    """Siblings after training, bit for bit."""
    before: Quality
    now: Quality
    caught_by: tuple[str, ...]
    """``optimiser``, ``proof`` (before training), ``leaving`` (frozen state hashed after), ``comparison`` (outputs)."""
    said: str
    """What the first of these said."""
    seconds: float


def run_benchmark(
    data_of: Callable[[int], BenchData],
    *,
    model: SceneModel | None = None,
    plan: Plan | None = None,
    seeds: Sequence[int] = (0, 1, 2),
    arms: Sequence[Arm] = ARMS,
    say: Callable[[str], None] = print,
) -> list[ArmResult]:
    """Every arm on every seed; ``data_of(seed)`` gives its data. With a ``model``, its trunk and heads are the base."""
    plan, results = plan or Plan(), []
    for seed in seeds:
        data = data_of(seed)
        base = make_system(data, model, seed=seed)
        tokens = train_base(base, data, plan, seed=seed, trained=model is not None)
        say(f"seed {seed}: base trained")
        old = _look(base, data)
        for arm in arms:
            results.append(run_arm(arm, base, data, tokens, plan, seed=seed, old=old))
            done = results[-1]
            say(f"seed {seed}: {arm.title}: siblings moved by up to {max(done.after.values()):.3g}")
    return results


def run_arm(
    arm: Arm, base: System, data: BenchData, tokens: Tensor, plan: Plan, *, seed: int, old: tuple[Snapshot, Tensor]
) -> ArmResult:
    """Upgrade the base's risk head as the arm does it and see what became of ``old``, what the base gave."""
    start = time.monotonic()
    before, old_risk = old
    setup = build(arm, base, seed=seed)
    first, first_risk = _look(setup.system, data)
    caught: dict[str, str] = {}
    try:
        with isolated(setup.system, setup.private) as private:
            arrange(arm, setup, private, data, plan, seed=seed)
            assert setup.optimiser is not None
            _try(caught, "optimiser", lambda: check_optimiser(setup.optimiser, private))  # type: ignore[arg-type]
            _try(caught, "proof", lambda: _prove(setup, data))
            _train(arm, setup, data, tokens, plan, seed=seed)
    except IdentityBroken as error:
        caught["leaving"] = str(error)
    setup.system.trunk.norm.eval()  # statistics are read as shipped; dropout that was left on stays on
    now, now_risk = _look(setup.system, data, arm=arm)
    moved = compare(before, now)
    if moved:
        caught["comparison"] = f"{moved[0].name} {moved[0].found}"
    return ArmResult(
        arm=arm.key,
        seed=seed,
        trained=sum(p.numel() for p in setup.trained),
        upgrade_at_0=float((first_risk.sigmoid() - old_risk.sigmoid()).abs().max()),
        at_0=_furthest(before, first),
        after=_furthest(before, now),
        bits_equal=not moved,
        before=_quality(before, old_risk, data),
        now=_quality(now, now_risk, data),
        caught_by=tuple(caught),
        said=next(iter(caught.values()), ""),
        seconds=time.monotonic() - start,
    )


def as_document(results: Sequence[ArmResult], plan: Plan, about: dict[str, object]) -> dict[str, object]:
    """Every number, as JSON values."""
    return {"about": about, "plan": asdict(plan), "results": [asdict(result) for result in results]}


def _try(caught: dict[str, str], name: str, check: Callable[[], object]) -> None:
    try:
        check()
    except IdentityBroken as error:
        caught[name] = str(error)


def _prove(setup: Setup, data: BenchData) -> None:
    """On a few clips; whatever their passes did to buffers is undone, so that the arm trains as if untested."""
    system, clips = setup.system, data.val[:_PROBE_CLIPS]
    buffers = {name: value.clone() for name, value in system.named_buffers()}
    try:
        prove(
            lambda: system.siblings(system.trunk(clips, data.age_s), clips.embedding),
            named(setup.trained, system),
            within=system,
        )
    finally:
        for name, value in system.named_buffers():
            value.copy_(buffers[name])


def _train(arm: Arm, setup: Setup, data: BenchData, tokens: Tensor, plan: Plan, *, seed: int) -> None:
    system, optimiser = setup.system, setup.optimiser
    assert optimiser is not None
    for step in range(plan.steps):
        picked = batch_at(seed, 30_000 + step, len(data.train), plan.batch)
        read = tokens[picked] if arm.static else system.trunk(data.train[picked], data.age_s)
        loss = functional.binary_cross_entropy_with_logits(system.risk(read), data.train.risk[picked])
        optimiser.zero_grad()
        loss.backward()
        setup.before_step()
        optimiser.step()
        setup.after_step()
    setup.finish()


def _look(system: System, data: BenchData, *, arm: Arm | None = None) -> tuple[Snapshot, Tensor]:
    """Siblings' signals and risk logits of the held-out clips, as the arm would run them."""
    key = "" if arm is None else arm.key
    size = 7 if key == "batch" else 50
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=key == "autocast"), torch.random.fork_rng([]):
        torch.manual_seed(0)
        tokens = over_clips(lambda clips: system.trunk(clips, data.age_s).float(), data.val, batch=size)
        parts = [
            system.siblings(tokens[i : i + size], data.val.embedding[i : i + size]) for i in range(0, len(tokens), size)
        ]
        signals = {name: torch.cat([part[name].float() for part in parts]) for name in parts[0]}
        risk = torch.cat([system.risk(tokens[i : i + size]) for i in range(0, len(tokens), size)])
    return snapshot(signals), risk.float()


def _furthest(old: Snapshot, new: Snapshot) -> dict[str, float]:
    moved = {item.name: item.max_abs for item in compare(old, new)}
    return {name: moved.get(name, 0.0) for name in old.tensors}


def _quality(signals: Snapshot, risk: Tensor, data: BenchData) -> Quality:
    clips, truth = data.val, data.truth.numpy()
    scores = (clips.captions @ signals.tensors["embedding"].T).numpy()
    asked = truth.any(1)
    return Quality(
        tag_map=tag_map(signals.tensors["tags"].numpy(), clips),
        retrieval_r1=recall_at(scores[asked], truth[asked], 1),
        retrieval_r10=recall_at(scores[asked], truth[asked], 10),
        retrieval_map=float(
            np.mean([average_precision(s, t) for s, t in zip(scores[asked], truth[asked], strict=True)])
        ),
        risk_loss=float(functional.binary_cross_entropy_with_logits(risk, clips.risk)),
        risk_spearman=spearman(risk.numpy(), clips.risk.numpy()),
    )


def tag_map(probability: Float[ndarray, "n k"], clips: BenchClips) -> float:
    """Mean average precision over tags that some known clips have and some lack."""
    found = []
    for scores, tags in zip(probability.T, clips.tags.numpy().T, strict=True):
        true = tags[tags >= 0] == 1
        if true.any() and not true.all():
            found.append(average_precision(scores[tags >= 0], true))
    return float(np.mean(found))


def spearman(a: Float[ndarray, "n"], b: Float[ndarray, "n"]) -> float:
    """Rank correlation, ties sharing their mean rank; 0 where one is constant."""
    left, right = _ranks(a), _ranks(b)
    if left.std() == 0.0 or right.std() == 0.0:
        return 0.0
    return float(np.corrcoef(left, right)[0, 1])


def _ranks(values: Float[ndarray, "n"]) -> Float[ndarray, "n"]:
    _, group, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    return (last - (count - 1) / 2.0)[group]
