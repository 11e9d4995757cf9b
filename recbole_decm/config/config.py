"""RecBole's Config with our YAML files, strict keys and literal values instead of ``eval``.

Precedence is RecBole's: command line > config_dict > config files > data set YAML > model YAML > overall YAML.
The values that ``objective: NAME`` and, above them, ``protocol: NAME`` stand for lie between config files and data set
YAML.
The dict-valued keys in :data:`recbole_decm.config.values.MERGED_KEYS` are merged entry by entry, so that
``eval_args: {mode: uni100}`` keeps the split that a lower layer chose.
"""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from recbole.config import Config
from recbole.evaluator import metric_types
from recbole.utils import EvaluatorType, InputType, ModelType, argument_list

from recbole_decm.config import compat, protocols, registry
from recbole_decm.config.effects import flat, without_effect
from recbole_decm.config.keys import Role, having
from recbole_decm.config.together import refuse
from recbole_decm.config.typed_keys import RECBOLE_PROPERTIES, check
from recbole_decm.config.values import (
    Loader,
    find_config_file,
    merge,
    parse_arguments,
    parse_value,
    read_yaml,
    take_config_files,
)
from recbole_decm.data.inputs import Needs
from recbole_decm.errors import ConfigError, suggest
from recbole_decm.io.shipped import shipped
from recbole_decm.io.write import mend
from recbole_decm.model.fusions import READS_GENRES
from recbole_decm.model.objectives import OBJECTIVES
from recbole_decm.parallel import group
from recbole_decm.parallel.processes import Processes
from recbole_decm.parallel.share import Share

_NO_MODELS = ("recbole_decm.", "torch.", "builtins", "abc", "typing")
"""Modules whose classes read no keys."""

LONGEST_NAME = 200
"""Bytes of a data set's name; a system takes 255, and the names of its files are longer."""


class DecCMConfig(Config):
    """RecBole's :class:`Config` for a run of any model, ours or RecBole's.

    Args:
        model: model name (or class); without it the key ``model`` of the layers is used.
        dataset: data set name; likewise.
        config_file_list: YAML files, later ones win.
        config_dict: values above the files.
        arguments: ``--key=value`` command-line arguments; never read from ``sys.argv``.

    Raises:
        ConfigError: unknown key, model, metric or data set, malformed file or argument, a value of another type or
            out of its range (the message says which, and in which file it is or whether on the command line), or one
            that RecBole refuses.
    """

    def __init__(
        self,
        model: str | type | None = None,
        dataset: str | None = None,
        config_file_list: Sequence[str | Path] | None = None,
        config_dict: dict | None = None,
        arguments: Sequence[str] = (),
    ):
        self.genres: tuple[str, ...] = ()  # the genre groups that a restored model was trained with
        self._arguments = list(arguments)
        self._made_from = (model, dataset, list(config_file_list or []), dict(config_dict or {}))
        self._given: list[tuple[str, dict]] = []  # layers of what is given, each with the place it comes from
        try:
            super().__init__(model, dataset, config_file_list, config_dict)
        except (ValueError, TypeError, KeyError, NotImplementedError, RuntimeError, SyntaxError) as error:
            raise ConfigError(f"config: {error.args[0] if error.args else error}") from error

    # --- what RecBole calls, in its order ---------------------------------------------------------------------
    def compatibility_settings(self):
        compat.apply()
        registry.register_metrics()

    def _init_parameters_category(self):
        # Copies: RecBole extends these lists in place, for every later Config of the process.
        self.parameters = {
            "General": list(argument_list.general_arguments),
            "Training": list(argument_list.training_arguments),
            "Evaluation": list(argument_list.evaluation_arguments),
            "Dataset": list(argument_list.dataset_arguments),
        }

    def _build_yaml_loader(self):
        return Loader

    def _load_config_files(self, file_list):
        paths = [find_config_file(file) for file in file_list or []]
        files = [(str(path), read_yaml(path)) for path in paths]
        self._given += files
        return merge(*(values for _, values in files))

    def _load_variable_config_dict(self, config_dict):
        given = dict(config_dict or {})
        return {key: parse_value(value) if isinstance(value, str) else value for key, value in given.items()}

    def _load_cmd_line(self):
        return parse_arguments(self._arguments)

    def _merge_external_config_dict(self):
        for where, values in (("config_dict", self.variable_config_dict), ("command line", self.cmd_config_dict)):
            self.file_config_dict = merge(self.file_config_dict, self._load_config_files(take_config_files(values)))
            self._given.append((where, values))
        self.external_config_dict = merge(self.file_config_dict, self.variable_config_dict, self.cmd_config_dict)

    def _get_model_and_dataset(self, model, dataset):
        model = model if model is not None else self.external_config_dict.get("model")
        dataset = dataset if dataset is not None else self.external_config_dict.get("dataset")
        if model is None or dataset is None:
            missing = "model" if model is None else "dataset"
            raise ConfigError(f"{missing}: expected a name, found none. Give --{missing}=NAME.")
        dataset = str(dataset)
        if dataset in ("", "..") or Path(dataset).name != dataset or len(os.fsencode(dataset)) > LONGEST_NAME:
            raise ConfigError(
                f"dataset: expected the name of a folder, at most {LONGEST_NAME} bytes long, found '{dataset[:80]}'. "
                "Give the folder that holds it as --data_path=DIR."
            )
        model_class = registry.model_class(model) if isinstance(model, str) else model
        name = model if isinstance(model, str) else registry.name_of(model)
        registry.refuse_family(name, model_class.type)
        return name, model_class, dataset

    def _load_internal_config_dict(self, model, model_class, dataset):
        ours = shipped("properties")
        base = [
            RECBOLE_PROPERTIES / "overall.yaml",
            RECBOLE_PROPERTIES / "dataset" / "sample.yaml",
            ours / "overall.yaml",
        ]
        base_values = merge(*(read_yaml(path) for path in base))
        model_values = merge(*(read_yaml(path) for path in registry.settings_files(model, model_class)))
        self.keys_of_model = set(model_values) | keys_read_by(model_class)
        self._known_keys = having(Role.RUN) | set(base_values) | self.keys_of_model
        self._known_keys |= {key for group in self.parameters.values() for key in group}
        for where, values in self._given:
            self._check(values, where)
        self._data_folder = self._find_data_folder(base_values, dataset)
        yamls = [ours / "dataset" / f"{dataset}.yaml", RECBOLE_PROPERTIES / "dataset" / f"{dataset}.yaml"]
        found = [path for path in yamls if path.is_file()][:1]
        found += [path for path in [self._data_folder / f"{dataset}.yaml"] if path.is_file()]
        of_data = [self._read_data_yaml(path) for path in found]
        self.internal_config_dict = merge(base_values, model_values, *of_data)
        self.internal_config_dict["MODEL_TYPE"] = model_class.type
        below, given = dict(flat(self.internal_config_dict)), dict(flat(self.external_config_dict))
        self._changed = {name: value for name, value in given.items() if name not in below or below[name] != value}

    def _read_data_yaml(self, path: Path) -> dict:
        """The YAML of a data set, which may say what concerns some of our models alone, such as ``teacher: none``."""
        values = read_yaml(path)
        if not values.keys() <= self._known_keys:
            for_others = {key for other in (shipped("properties") / "model").glob("*.yaml") for key in read_yaml(other)}
            values = {key: value for key, value in values.items() if key in self._known_keys or key not in for_others}
        self._check(values, str(path))
        return values

    def _find_data_folder(self, base_values: dict, dataset: str) -> Path:
        given = self.external_config_dict.get("data_path")
        if given is None and dataset == "ml-100k":  # RecBole's own example comes with RecBole
            return RECBOLE_PROPERTIES.parent / "dataset_example" / dataset
        places = [Path(given if given is not None else base_values["data_path"])]
        if given is None:
            places.append(shipped("dataset_atomic"))
        for place in places:
            mend(place)
            if (place / dataset).is_dir():
                return place / dataset
        names = sorted({path.name for place in places if place.is_dir() for path in place.iterdir() if path.is_dir()})
        raise ConfigError(
            f"dataset: expected a folder {' or '.join(str(place / dataset) for place in places)}, found none. "
            f"There are: {', '.join(names) or 'no data sets'}.{suggest(dataset, names)} "
            "Give --data_path=DIR for the folder that holds the data set's folder."
        )

    def _get_final_config_dict(self):
        named = (self._named_objective(), self._named_protocol())
        final = merge(self.internal_config_dict, *named, self.external_config_dict)
        final["numerical_features"] = list(final.get("numerical_features") or [])
        return final

    def _named_objective(self) -> dict:
        """The values that ``objective: NAME`` stands for, as far as the model has the keys; a layer of its own."""
        if "objective" not in self.internal_config_dict:
            return {}
        name = {**self.internal_config_dict, **self.external_config_dict}["objective"]
        return {key: value for key, value in OBJECTIVES[name].items() if key in self.internal_config_dict}

    def _named_protocol(self) -> dict:
        """The values that ``protocol: NAME`` stands for; a layer of its own."""
        if "protocol" not in self.internal_config_dict:
            return {}
        name = {**self.internal_config_dict, **self.external_config_dict}["protocol"]
        values = protocols.values_of(name)
        self._check(values, f"protocol {name}")
        return values

    def _check(self, values: dict, where: str) -> None:
        for key in values:
            if key not in self._known_keys:
                hint = suggest(str(key), self._known_keys)
                raise ConfigError(f"{where}: expected a key that {self.model} or RecBole reads, found '{key}'.{hint}")
        check(values, self.model, self.model_class, where)

    def _set_default_parameters(self):
        self._check_metrics()
        refuse(self.final_config_dict, self.internal_config_dict, getattr(self.model_class, "input_type", None))
        bigger = self.external_config_dict.get("valid_metric_bigger")
        super()._set_default_parameters()
        self.final_config_dict["data_path"] = str(self._data_folder)
        if bigger not in (None, self.final_config_dict["valid_metric_bigger"]):
            raise ConfigError(
                f"valid_metric_bigger: expected {not bigger}, which follows from valid_metric "
                f"({self.final_config_dict['valid_metric']}), found {bigger}. Leave it out."
            )

    def _check_metrics(self) -> None:
        metrics, topk = self.final_config_dict["metrics"], self.final_config_dict["topk"]
        listed = [metrics] if isinstance(metrics, str) else metrics
        for metric in listed:
            if metric.lower() not in metric_types:
                raise ConfigError(f"metrics: unknown metric '{metric}'.{suggest(metric, metric_types)}")
            if metric_types[metric.lower()] != EvaluatorType.RANKING:
                raise ConfigError(
                    f"metrics: expected metrics of a ranking, such as NDCG, found '{metric}', which compares scores "
                    "with labels (RecBole's mode labeled, which this package does not have)."
                )
        name, at, k = self.final_config_dict["valid_metric"].partition("@")
        if name.lower() not in {metric.lower() for metric in listed}:
            raise ConfigError(f"valid_metric: expected one of metrics ({', '.join(listed)}), found '{name}'.")
        if at and k not in {str(cut) for cut in (topk if isinstance(topk, list) else [topk])}:
            raise ConfigError(f"valid_metric: expected a cut-off of topk ({topk}), found '{name}@{k}'.")

    def _set_train_neg_sample_args(self):
        """RecBole knows the names in lower case, and None but not ``none``."""
        args = self.final_config_dict["train_neg_sample_args"]
        if args is not None:
            name = str(args["distribution"]).lower()
            self.final_config_dict["train_neg_sample_args"] = None if name == "none" else args | {"distribution": name}
        super()._set_train_neg_sample_args()

    def _set_eval_neg_sample_args(self, phase):
        """Negatives of an evaluation are drawn by our loaders, once; RecBole's samplers draw none."""
        self.final_config_dict[f"{phase}_neg_sample_args"] = {"distribution": "none", "sample_num": "none"}

    def _init_device(self):
        """RecBole's for one process; its own way to several needs NCCL and CUDA.

        ``local_rank`` marks the config of one of several processes, which rank 0 alone has the say for: the others
        write no files and show nothing but errors.
        """
        values = self.final_config_dict
        local_rank = values.pop("local_rank", None)
        super()._init_device()
        if not values["use_gpu"]:  # RecBole asks gpu_id alone
            values["device"] = torch.device("cpu")
        self.processes, self.share = Processes.from_values(values), Share()
        if local_rank is None:
            return
        self.share = group.share()
        values |= {"local_rank": local_rank, "world_size": self.share.size}
        if values["device"].type == "cuda":
            values["device"] = torch.device("cuda", local_rank)
        if self.share.rank:
            values |= {"state": "ERROR", "show_progress": False, "result_file": None, "log_wandb": False}

    # --- ours -------------------------------------------------------------------------------------------------
    def again(self, **values: Any) -> DecCMConfig:
        """The same run with other values, which stand above everything that was given."""
        model, dataset, files, given = self._made_from
        given = {key: value for key, value in (given | values).items() if (key, value) != ("local_rank", None)}
        arguments = [argument for argument in self._arguments if argument[2:].partition("=")[0] not in values]
        return DecCMConfig(model, dataset, files, given, arguments)

    @property
    def needs(self) -> Needs:
        """What the model and the metrics need of a data set."""
        model, metrics = self.model_class, registry.resources_of(self["metrics"])
        content = getattr(model, "uses_content", False)
        choices = "rec.chances" in metrics
        prior = getattr(model, "uses_uploader_prior", False) or "rec.prior" in metrics or choices
        genre = choices or "data.genre_membership" in metrics or self["confounder_fusion"] in READS_GENRES
        return Needs(
            content=content,
            context=not content and model.type in (ModelType.CONTEXT, ModelType.DECISIONTREE),
            prior=prior,
            uploader=getattr(model, "uses_uploader", False),
            choices=choices,
            tables=not model.__module__.startswith(("recbole.", "recbole_decm.")),
            genre=genre or (prior and self["uploader_prior"] == "train") or getattr(model, "uses_genre", False),
        )

    @property
    def ready_made(self) -> bool:
        """Whether the splits are those of ``benchmark_filename``; folds of groups put their rows together anew."""
        return self["benchmark_filename"] is not None and "LGO" not in (self["eval_args"]["split"] or {})

    @property
    def learns_from_labels(self) -> bool:
        """Whether a model of RecBole's that compares scores with labels is given no negatives to draw."""
        drawn = self["train_neg_sample_args"]["distribution"] != "none"
        default = self.internal_config_dict["train_neg_sample_args"]
        return not drawn and bool(default) and self["MODEL_INPUT_TYPE"] == InputType.POINTWISE

    def without_effect(self) -> list[str]:
        """One line for each key that is given another value than its default and changes nothing in this run."""
        return without_effect(self, self._changed)

    @property
    def known_keys(self) -> set[str]:
        """The keys that the model or RecBole reads; every other one is refused."""
        return set(self._known_keys)

    def plain(self) -> dict:
        """The final values as plain Python: what a checkpoint keeps instead of a pickled Config."""
        return {key: _plain(value) for key, value in self.final_config_dict.items()}


def _plain(value: object) -> object:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    return str(value)


def keys_read_by(model_class: type) -> set[str]:
    """Keys a model of RecBole, or of other people, reads beyond its YAML; ours read none.

    RecBole has no list of them (``reg_weight`` of one model is nothing to another), so the sources of the model and
    its trainer are searched for ``config["key"]``. Typed settings say themselves what they read.
    """
    if model_class.__module__.startswith("recbole_decm."):
        return set()
    from recbole.utils import get_trainer

    bases = [base for base in model_class.__mro__ if not base.__module__.startswith(_NO_MODELS)]
    modules = {inspect.getmodule(base) for base in bases}
    modules.add(inspect.getmodule(get_trainer(model_class.type, model_class.__name__)))
    settings = getattr(model_class, "settings_class", None)
    typed = set() if settings is None else set(settings.__pydantic_fields__)
    return typed | set(_read_keys(_source(module) for module in modules if module))


def _source(module: ModuleType) -> str:
    try:
        return inspect.getsource(module)
    except OSError:  # of a class that was typed at a prompt
        return ""


def _read_keys(sources: Iterable[str]) -> Iterable[str]:
    for source in sources:
        yield from re.findall(r"config\[\s*[\"'](\w+)[\"']\s*\]", source)
