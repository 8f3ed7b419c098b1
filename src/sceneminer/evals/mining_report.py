"""Every figure of ``mining`` on held-out towns against its baselines, as JSON and as a page.

Command: ``python -m sceneminer.evals.mining_report RUN... --data runs/mining --split test --split far
--out docs/results/mining.md``; a RUN is the checkpoint folder of one seed. Baselines are trained on train and chosen
on val, so that both must be there with features of the checkpoints' tower.
"""

import argparse
import json
import platform
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from numpy import ndarray

from sceneminer.data.errors import DataError
from sceneminer.evals import mining_baselines as baselines
from sceneminer.evals import mining_risk_baselines as regressions
from sceneminer.evals.mining_agents import judge_explanation, judge_forecast, judge_hardness, targets
from sceneminer.evals.mining_bootstrap import RESAMPLES
from sceneminer.evals.mining_compare import Resampling
from sceneminer.evals.mining_fit import Fitted, Search, Setting
from sceneminer.evals.mining_judge import FOR_INFORMATION, BySeed, Said, judge_risk, judge_search, judge_tags, per_tag
from sceneminer.evals.mining_page import Origin, SplitReport, facts_of, write_page
from sceneminer.evals.mining_predict import Predictions, predict, predict_zero_shot
from sceneminer.evals.mining_queries import Queries, make_queries
from sceneminer.evals.mining_set import EvalSet, make_set
from sceneminer.model.fingerprint import stream_fingerprint
from sceneminer.model.scene_model import SceneModel
from sceneminer.recipes.mining import MiningRecipe, base, windows_of
from sceneminer.recipes.mining_features import Window, tower_key
from sceneminer.recipes.mining_set import clips_of_windows
from sceneminer.recipes.mining_streams import read_streams
from sceneminer.recipes.mining_text import CaptionBank, make_bank
from sceneminer.train.loop import git_commit

TAG_PROBES = {"linear probe": False, "small MLP": True}
"""By whether there is a hidden layer."""
OF_STREAM = "regression of the stream"


@dataclass(frozen=True, eq=False)
class Trained:
    """Baselines, one fit a seed; ``of_stream`` is empty where the models have no risk to compare it with."""

    tags: Mapping[str, tuple[Fitted, ...]]
    projection: tuple[Fitted, ...]
    of_tower: tuple[Fitted, ...]
    of_stream: tuple[Fitted, ...] = ()

    @property
    def settings(self) -> dict[str, str]:
        """As chosen, by baseline."""
        found = {name: fits[0].setting for name, fits in self.tags.items()}
        found |= {"linear projection": self.projection[0].setting, FOR_INFORMATION[0]: self.of_tower[0].setting}
        found |= {OF_STREAM: self.of_stream[0].setting} if self.of_stream else {}
        return {name: _shown(setting) for name, setting in found.items()}


@dataclass(frozen=True, eq=False)
class Split:
    """One split before any method has said anything; ``zero_shot`` is the frozen tower's word."""

    name: str
    truth: EvalSet
    queries: Queries
    zero_shot: Predictions
    ours: tuple[Predictions, ...]


def train_baselines(
    train: baselines.TrainSet,
    bank: CaptionBank,
    val: Split,
    tokens: Sequence[ndarray],
    *,
    seeds: int,
    search: Search | None = None,
) -> Trained:
    """Choose each baseline's setting on val, then fit it with every seed; ``tokens`` [n 32 256] of train by seed."""
    search = search or Search()
    steps, truth, queries = search.steps, val.truth, val.queries
    chosen = {n: baselines.choose_tags(train, truth, hidden=h, search=search) for n, h in TAG_PROBES.items()}
    projecting = baselines.choose_projection(train, bank, truth, queries, search=search)
    regressing = regressions.choose_from_features(train, truth, search=search)
    every = range(seeds)
    of_stream: tuple[Fitted, ...] = ()
    on_val = [p.tokens for p in val.ours if p.tokens is not None]
    if tokens:
        streams = [(tokens[k], train.risk, on_val[k], truth.risk) for k in every]
        setting = regressions.choose_from_tokens(*streams[0], search=search)
        of_stream = tuple(regressions.fit_from_tokens(*streams[k], setting, seed=k, steps=steps) for k in every)
    return Trained(
        {n: tuple(baselines.fit_tags(train, truth, s, seed=k, steps=steps) for k in every) for n, s in chosen.items()},
        tuple(baselines.fit_projection(train, bank, truth, queries, projecting, seed=k, steps=steps) for k in every),
        tuple(regressions.fit_from_features(train, truth, regressing, seed=k, steps=steps) for k in every),
        of_stream,
    )


def said_of(split: Split, trained: Trained) -> Said:
    """What every method says of a split."""
    truth, features = split.truth, split.truth.features
    tags = {
        "prevalence": (np.zeros(truth.tags.shape),),
        "zero-shot": (split.zero_shot.tags,),
        **{name: tuple(baselines.say_tags(fit, features) for fit in fits) for name, fits in trained.tags.items()},
    }
    embeddings = {
        "frozen mean": (split.zero_shot.embedding,),
        "linear projection": tuple(baselines.project(fit, features) for fit in trained.projection),
    }
    risk: dict[str, BySeed] = {f"{name} (truth)": (scores,) for name, scores in truth.trivial.items()}
    tokens = [p.tokens for p in split.ours if p.tokens is not None]
    if trained.of_stream:
        risk[OF_STREAM] = tuple(regressions.say_risk(f, t) for f, t in zip(trained.of_stream, tokens, strict=True))
    risk[FOR_INFORMATION[0]] = tuple(regressions.say_risk(fit, features) for fit in trained.of_tower)
    return Said(truth, split.queries, split.ours, tags, embeddings, risk)


def report_split(split: Split, val: Split, trained: Trained, *, resamples: int = RESAMPLES) -> SplitReport:
    """Every figure of one split."""
    said, on_val = said_of(split, trained), said_of(val, trained)
    over = Resampling(split.truth.log, resamples)
    sections = (
        judge_tags(said, on_val, over),
        judge_search(said, over),
        judge_risk(said, over),
        judge_explanation(said, on_val, over),
        judge_forecast(said, over),
        judge_hardness(said, over),
    )
    known = split.truth.tags >= 0
    prevalence = (split.truth.tags == 1).sum(0) / np.maximum(known.sum(0), 1)
    return SplitReport(
        facts_of(split.name, split.truth, split.queries.true, targets=targets(split.truth)),
        sections,
        {method: tuple(values.tolist()) for method, values in per_tag(said).items()},
        tuple(prevalence.tolist()),
    )


def read_split(
    name: str,
    windows: Sequence[Window],
    models: Sequence[SceneModel],
    zero_shot: SceneModel,
) -> Split:
    """The truth of a split and what the models say of it."""
    queries = make_queries(windows, zero_shot.tower)
    said = tuple(predict(model, windows) for model in models)
    return Split(name, make_set(windows), queries, predict_zero_shot(zero_shot, windows), said)


def write_report(
    runs: Sequence[Path],
    data: Path,
    splits: Sequence[str],
    *,
    command: str,
    resamples: int = RESAMPLES,
    recipe: MiningRecipe | None = None,
    search: Search | None = None,
) -> tuple[str, dict[str, object]]:
    """The page and the same as JSON values; DataError or CheckpointError where something is not there.

    ``recipe`` is that of the runs, by default ``base()``; ``search`` is what is tried for each baseline.
    """
    recipe = recipe or base()
    commit, here = git_commit() or "unknown", machine()
    # Features were made once, in the recipe's numeric mode of the tower.
    models = [SceneModel.from_pretrained(run, numeric_mode=recipe.tower_mode) for run in runs]
    keys = sorted({tower_key(model.tower) for model in models})
    if len(keys) != 1:
        raise DataError(f"expected checkpoints around one tower, found {len(keys)}: {', '.join(keys)}")
    tower = models[0].tower
    zero_shot = SceneModel(tower, replace(models[0].config))
    windows = windows_of(recipe, data, "train", keys[0])
    train, clips = baselines.make_train_set(windows), clips_of_windows(windows)
    bank = make_bank(windows, clips, tower, each=recipe.captions, grammar="train", seed=recipe.seed)
    val = read_split("val", windows_of(recipe, data, "val", keys[0]), models, zero_shot)
    risky = all(p.risk is not None for p in val.ours)
    tokens = [_train_tokens(model, windows, data) for model in models] if risky else []
    trained = train_baselines(train, bank, val, tokens, seeds=len(models), search=search)
    reports = []
    for name in splits:
        split = val if name == "val" else read_split(name, windows_of(recipe, data, name, keys[0]), models, zero_shot)
        reports.append(report_split(split, val, trained, resamples=resamples))
    origin = Origin(
        command=command,
        commit=commit,
        date=datetime.now(UTC).date().isoformat(),
        machine=here,
        seeds=len(models),
        resamples=resamples,
        settings=trained.settings,
        train=f"{len(clips)} clips of {len(windows)} logs",
    )
    return write_page(origin, reports), {"origin": asdict(origin), "splits": [asdict(report) for report in reports]}


def _train_tokens(model: SceneModel, windows: Sequence[Window], data: Path) -> ndarray:
    """Kept beside the windows by the stream's fingerprint, since they take minutes."""
    path = data / f"streams-{stream_fingerprint(model)[:16]}.safetensors"
    return read_streams(model, windows, path).tokens.numpy()


def as_json(document: Mapping[str, object]) -> str:
    """JSON with null for figures that are not defined."""

    def plain(value: object) -> object:
        if isinstance(value, Mapping):
            return {str(k): plain(v) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [plain(v) for v in value]
        return None if isinstance(value, float) and not np.isfinite(value) else value

    return json.dumps(plain(document), indent=1, allow_nan=False) + "\n"


def main() -> None:
    """Measure checkpoints of some seeds on some splits; write the page, and a JSON file of the same name beside it."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="checkpoint folder of one seed")
    parser.add_argument("--data", type=Path, required=True, help="folder of the mining recipe")
    parser.add_argument("--split", action="append", choices=("val", "test", "far"), help="by default test and far")
    parser.add_argument("--out", type=Path, required=True, help="the page")
    parser.add_argument("--resamples", type=int, default=RESAMPLES)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    command = shlex.join(["python", "-m", "sceneminer.evals.mining_report", *sys.argv[1:]])
    splits = args.split or ["test", "far"]
    page, document = write_report(args.runs, args.data, splits, command=command, resamples=args.resamples)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.with_suffix(".json").write_text(as_json(document))
    args.out.write_text(page)
    print(page)


def _shown(setting: Setting) -> str:
    """What of a setting is not as by default."""
    plain = asdict(Setting())
    changed = {k: v for k, v in asdict(setting).items() if v != plain[k]}
    return ", ".join(f"{k} {'+'.join(v) if isinstance(v, tuple) else v}" for k, v in changed.items()) or "default"


def machine() -> str:
    """The processor, as results name it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    cores = f"{len(names)} cores of " if names else ""
    return f"{cores}{names[0] if names else platform.machine()}, torch {torch.__version__}"


if __name__ == "__main__":
    main()
