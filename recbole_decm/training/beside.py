"""Estimated metrics beside the observed ones, of lists that any model made and whatever its config asks for."""

from __future__ import annotations

from typing import Any

import numpy as np
from recbole.utils import init_seed

from recbole_decm.config.config import DecCMConfig
from recbole_decm.config.keys import Role, having
from recbole_decm.config.values import merge
from recbole_decm.data.dataset import DecCMDataset
from recbole_decm.data.loaders import RankingLoader, prepare_data
from recbole_decm.errors import ConfigError, DataError
from recbole_decm.estimation.effects import Estimate, require_overlap
from recbole_decm.estimation.lists import METRICS, estimate_of_lists, estimated
from recbole_decm.metrics.names import TITLES
from recbole_decm.training.estimates import of_choices, weigh_choices
from recbole_decm.training.provenance import values_to_run_again


class Weighed:
    """The choices of a run's test split, or of validation where it has none, weighed by a choice model.

    Args:
        config: of the run, of any model and metrics.
        full: the lists are of the whole catalogue, whatever ``eval_args.mode`` says.

    Raises:
        ConfigError, DataError: what would be chosen without habit is not identified, or too little overlaps; why.
    """

    def __init__(self, config: DecCMConfig, full: bool = False):
        names, cut = [TITLES[name] for name in METRICS], max(config["topk"])
        kept = having(Role.DATA | Role.EVALUATION) | {"seed", "reproducibility", "data_path"}
        values = {key: value for key, value in values_to_run_again(config).items() if key in kept}
        values |= {
            "metrics": ["Recall", *names],
            "valid_metric": f"Recall@{cut}",
            "extra_tests": None,
            "use_gpu": False,
        }
        values |= {"show_progress": False, "teacher_dir": config["teacher_dir"]}
        values = merge(values, {"eval_args": {"mode": "full"}} if full else {})
        self.config = DecCMConfig("Cosine", config["dataset"], config_dict=values)
        self.config.genres = config.genres
        init_seed(self.config["seed"], self.config["reproducibility"])
        splits = prepare_data(self.config, DecCMDataset(self.config))
        self.loader: RankingLoader = splits.test or splits.valid
        weigh_choices(self.config, splits, "valid" if splits.test is None else "test")

    def require_same(self, loader: RankingLoader) -> None:
        """Refuse lists of other videos or choices than those that are weighed.

        Raises:
            DataError: such as of a data set that leaves out videos without features.
        """
        pairs = [(one.users, one.positives.ids, one.positives.offsets) for one in (loader, self.loader)]
        if not all(np.array_equal(one, other) for one, other in zip(*pairs, strict=True)):
            raise DataError("expected the evaluated choices to be those with features, genres and preferences.")

    def of_lists(self, metric: str, lists: np.ndarray) -> Estimate:
        """A metric at every cut-off of lists of the first videos.

        Args:
            metric: one of :data:`~recbole_decm.estimation.lists.METRICS`; lists: (V, k) ids of tracks, best first.
        """
        known = self.loader.intervention
        positions, chosen = self.loader.positives.slice(0, len(lists))
        listed = lists[positions]
        hits, chances = listed == chosen[:, None], known.chances(0, listed - 1)
        table = np.column_stack([chances, known.weight[: len(chosen)], known.overlap[: len(chosen)]])
        return estimate_of_lists(metric, hits, table, self.config["seed"])

    def of_choices(self, videos: int) -> dict[str, Any]:
        """``effective_sample_size`` and ``chosen_majority_share`` of the choices of the first videos.

        Raises:
            DataError: they are too few.
        """
        known, count = self.loader.intervention, int(self.loader.positives.offsets[videos])
        require_overlap(known.weight[:count], known.overlap[:count], f"the first {videos} videos")
        return of_choices(self.config, self.loader, count)


def estimates_beside(config: DecCMConfig, loader: RankingLoader, lists: np.ndarray) -> dict[str, Any]:
    """What would stand beside each of the config's metrics that has an estimated counterpart.

    Args:
        loader: of the test split; lists: (V, k) ids of tracks, one row a video of the loader.

    Returns:
        ``metrics``, such as ``{"dorecall@10": 0.3}``, and what :func:`~recbole_decm.training.estimates.estimates`
        returns; or ``not_estimated``: the reason; empty where no metric has a counterpart.
    """
    wanted = [name.lower() if estimated(name) else f"do{name.lower()}" for name in config["metrics"]]
    names = [name for name in METRICS if name in wanted]
    if not names:
        return {}
    try:
        weighed = Weighed(config)
        weighed.require_same(loader)
        about = weighed.of_choices(len(lists))
    except (ConfigError, DataError) as error:
        return {"not_estimated": str(error)}
    places, values, intervals = config["metric_decimal_place"], {}, {}
    for name in names:
        parts = weighed.of_lists(name, lists)
        for k in config["topk"]:
            value, *interval = (round(float(part[k - 1]), places) for part in parts)
            values[f"{name}@{k}"], intervals[f"{name}@{k}"] = value, interval
    return {"metrics": values, "intervals": intervals} | about
