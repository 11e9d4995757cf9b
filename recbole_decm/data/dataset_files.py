"""The files of a data set as RecBole's Dataset sees them: what is read, where it is kept, and what is refused."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from recbole.data.dataset import Dataset
from recbole.utils import FeatureSource, FeatureType

from recbole_decm.data import priors
from recbole_decm.data.columns import check_columns
from recbole_decm.data.features import FeatureMatrix, open_npy, require_one_of
from recbole_decm.data.inputs import feature_fields
from recbole_decm.errors import ConfigError, DataError
from recbole_decm.io import atomic
from recbole_decm.io.npy import FileRows

VIDEO, MUSIC = FeatureSource.USER, FeatureSource.ITEM


class FilesDataset(Dataset):
    """RecBole's Dataset, read from atomic files by our reader, as far as the model and the metrics need them.

    Content vectors and priors become matrices in the order of the lines; text that only metrics and priors need is
    kept beside the frames.
    """

    def _from_scratch(self):
        try:
            super()._from_scratch()
        except ValueError as error:  # RecBole's
            raise DataError(f"{self.dataset_path}: {error}") from error

    def _get_field_from_config(self):
        super()._get_field_from_config()
        config, needs = self.config, self.config.needs
        self.video_fields, self.music_fields = feature_fields(config)
        self.prior_field, self.genre_field = config["PRIOR_FIELD"], config["GENRE_FIELD"]
        self.uploader_field, self.ipw_field = config["UPLOADER_FIELD"], config["IPW_FIELD"]
        self.for_matching, self.for_context = needs.content, needs.context
        self.needs_prior, self.needs_genre, self.needs_choices = needs.prior, needs.genre, needs.choices
        self._tokens: dict[str, tuple[np.ndarray, Sequence]] = {}
        self._vectors: dict[str, tuple[np.ndarray, torch.Tensor]] = {}
        self._files: dict[str, FileRows | None] = {}
        self.features: dict[str, FeatureMatrix] = {}  # by field, of both sides
        self.uploader_prior: torch.Tensor | None = None
        self.training_prior: torch.Tensor | None = None
        self.prior_mean: torch.Tensor | None = None
        self.popularity = np.zeros(0, dtype=np.int64)
        self._headers: dict[str, dict[str, str]] = {}
        self._loaded: dict[str, list[str]] = {}
        self._used: dict[str, set[str]] = {}
        # A config of an earlier data set may hold the components of content vectors, which are made anew.
        vectors = f"({'|'.join(map(re.escape, self._content_fields))})(_[0-9]+)?"
        config["numerical_features"] = [
            name for name in config["numerical_features"] if not re.fullmatch(vectors, str(name))
        ]

    def _load_data(self, token, dataset_path):
        folder = Path(dataset_path)
        splits = self.benchmark_filename_list
        names = [f"{token}.inter"] if splits is None else [f"{token}.{split}.inter" for split in splits]
        names += [f"{token}.user"] if self.for_matching or self.needs_prior or self.needs_choices else []
        names += [f"{token}.item"] if self.for_matching or self.needs_genre else []
        missing = [name for name in names if not (folder / name).is_file()]
        if missing:
            raise DataError(f"{folder}: expected the files {', '.join(names)}; missing: {', '.join(missing)}.")
        super()._load_data(token, dataset_path)
        check_columns(self.config, self._headers, self._loaded)
        if self.for_context:
            self._embed_numbers()
        self._name_unused_columns()
        if self.for_matching or self.for_context or self.needs_choices:
            self._load_feature_files(folder, token)
        if self.for_matching or self.needs_choices:
            self._require_vectors(folder, token)
        self._require_confounder(folder, token)

    def _load_feat(self, filepath, source):
        """Read one atomic file; content vectors become matrices and do not enter the frame."""
        path = Path(filepath)
        form = atomic.Format.of(self.config)
        header = atomic.read_header(path, form)
        self.check_header(path, header, source)
        load_col, unload_col = self._get_load_and_unload_col(source)
        fields = [f for f in header if (load_col is None or f in load_col) and f not in (unload_col or ())]
        self._note_columns(path, header, fields, source)
        read_by_model = self._fields_the_model_reads(fields, source)
        if not read_by_model:
            return None
        fields = [f for f in fields if f in read_by_model or f in self._fields_beside_the_model(source)]
        self._used[getattr(source, "value", source)] = set(fields)
        cells = atomic.read_columns(path, fields, form)
        if cells.empty:
            raise DataError(f"{path}: expected at least one line below the header, found none.")
        frame = {}
        for field in fields:
            kind = FeatureType(header[field])
            column = cells[field].to_numpy()
            if (source, field) in ((MUSIC, self.genre_field), (VIDEO, self.uploader_field)):
                rows = column
                if field == self.genre_field:
                    rows = atomic.split_cells(column, header[field], form.seq_separator)
                self._tokens[field] = (cells[self._id_field(source)].to_numpy(), rows)
            if source in (VIDEO, MUSIC) and field in (*self._content_fields, self.prior_field):
                matrix = atomic.parse_matrix(path, field, column, form.seq_separator)
                self._vectors[field] = (cells[self._id_field(source)].to_numpy(), torch.from_numpy(matrix))
                continue
            if field not in read_by_model:
                continue
            frame[field] = self._parse(path, field, kind, column, source)
        frame = pd.DataFrame(frame)
        self._check_ids(path, frame, source)
        return frame

    def _note_columns(self, path, header, fields, source):
        """Keep what a file has and what is loaded of it; refuse to load it without its ids."""
        suffix = getattr(source, "value", source)
        self._headers[suffix], self._loaded[suffix] = header, fields
        ids = {"inter": (self.uid_field, self.iid_field), "user": (self.uid_field,), "item": (self.iid_field,)}
        for field in ids.get(suffix, ()):
            if field not in fields and (fields or suffix == "inter"):
                raise ConfigError(
                    f"load_col: expected '{field}' among the columns of .{suffix}, found {', '.join(fields) or 'none'} "
                    f"({path} has {', '.join(header)})."
                )

    def check_header(self, path, header, source):
        """Raise DataError unless a file of this kind has its ids, and every field that is known its type."""
        expected = {}
        if source == FeatureSource.INTERACTION:
            expected = {self.uid_field: ["token"], self.iid_field: ["token"]}
        elif source in (VIDEO, MUSIC):
            expected = {self._id_field(source): ["token"]}
        known = {field: ["float_seq"] for field in (*self._content_fields, self.prior_field)}
        known |= {self.genre_field: ["token_seq", "token"], self.uploader_field: ["token"], self.ipw_field: ["float"]}
        expected |= {field: kinds for field, kinds in known.items() if field in header}
        atomic.require_fields(path, header, expected)

    @property
    def _content_fields(self):
        return [*self.video_fields, *self.music_fields]

    def _id_field(self, source):
        return self.uid_field if source == VIDEO else self.iid_field

    def _fields_the_model_reads(self, fields, source):
        wants_prior = self._reads_prior and source == VIDEO
        if source not in (VIDEO, MUSIC):
            return fields
        own = {self._id_field(source), *(self.config["val_interval"] or ())}
        own |= {self.prior_field} if wants_prior else set()
        if self.for_matching:  # further columns are metadata; collaborative models are given ids alone
            own |= {*self._content_fields, self.genre_field, self.uploader_field}
            own -= set(self.config["feature_files"] or {})
        elif self.for_context:
            own |= {*self._content_fields} | self._features_by_name(source)
            own |= {field for field in fields if self._headers[source.value][field].startswith("token")}
        return [field for field in fields if field in own]

    def _features_by_name(self, source):
        """Columns that a key makes features of RecBole's context-aware models; tokens are features unnamed."""
        config = self.config
        loaded = (config["load_col"] or {}).get(source.value, ())
        keys = [f"{source.value}_features", "numerical_features", "normalize_field", "discretization"]
        named = {name for key in keys for name in config[key] or ()} | (set() if loaded == "*" else set(loaded))
        return named - {self.prior_field}

    def _fields_beside_the_model(self, source):
        """Fields that metrics and priors need of models that do not carry them: kept outside the frame, as text or as
        matrices."""
        vectors = set(self._content_fields) - set(self.config["feature_files"] or {}) if self.needs_choices else set()
        if source == MUSIC and self.needs_genre:
            return {self.genre_field} | vectors
        needs_uploader = self.needs_prior and self.config["uploader_prior"] == "train"
        return ({self.uploader_field} if source == VIDEO and needs_uploader else set()) | vectors

    @property
    def _reads_prior(self):
        return self.needs_prior and self.config["uploader_prior"] == "read"

    def _parse(self, path, field, kind, column, source):
        self.field2source[field] = source
        self.field2type[field] = kind
        self.field2bucketnum |= {field: 2} if kind in (FeatureType.FLOAT, FeatureType.FLOAT_SEQ) else {}
        if kind == FeatureType.TOKEN:
            self.field2seqlen[field] = 1
            empty = np.flatnonzero(column == "")
            if empty.size and field in (self.uid_field, self.iid_field):
                raise DataError(f"{path}, line {empty[0] + 2}: expected a token in '{field}', found an empty cell.")
            return column
        if kind == FeatureType.FLOAT:
            self.field2seqlen[field] = 1
            return atomic.parse_floats(path, field, column)
        parts = atomic.split_cells(column, kind.value, self.config["seq_separator"])
        rows = [np.array(row, dtype=object) for row in parts]
        if kind == FeatureType.FLOAT_SEQ:
            rows = [row.astype(np.float64) for row in rows]
        most = (self.config["seq_len"] or {}).get(field)
        rows = [row[:most] for row in rows] if most else rows
        self.field2seqlen[field] = max(map(len, rows))
        return pd.Series(rows, dtype=object)

    def _check_ids(self, path, frame, source):
        if source not in (VIDEO, MUSIC):
            return
        field = self._id_field(source)
        again = np.flatnonzero(frame[field].duplicated().to_numpy())
        if again.size:
            raise DataError(
                f"{path}, line {again[0] + 2}: expected each '{field}' once, found '{frame[field][again[0]]}' again."
            )

    def _load_feature_files(self, folder, token):
        files = self.config["feature_files"] or {}
        for field, name in files.items():
            if field not in self._content_fields:
                names = " and ".join(f"'{name}'" for name in self._content_fields)
                raise ConfigError(f"feature_files: expected {names}, found '{field}'.")
            source = VIDEO if field in self.video_fields else MUSIC
            several = len(self.video_fields if source == VIDEO else self.music_fields) > 1
            tokens = getattr(self, f"{source.value}_feat")[self._id_field(source)].to_numpy()
            ids_file = folder / f"{token}.{source.value}"
            values, self._files[field] = open_npy(folder / name, field, len(tokens), ids_file, several)
            self._vectors[field] = (tokens, values)

    def _embed_numbers(self):
        """Let RecBole embed the number columns that were named; it leaves out all others."""
        for source in (VIDEO, MUSIC):
            for field in self._used.get(source.value, set()) & self._features_by_name(source):
                if self.field2type.get(field) in (FeatureType.FLOAT, FeatureType.FLOAT_SEQ):
                    self.config["numerical_features"].append(field)
        self.config["numerical_features"] = sorted(set(self.config["numerical_features"]))

    def _load_additional_feat(self, token, dataset_path):
        """Further tables, for a model that may read them."""
        for suffix in (self.config["additional_feat_suffix"] or ()) if self.config.needs.tables else ():
            path = Path(dataset_path) / f"{token}.{suffix}"
            if not path.is_file():
                raise DataError(f"{path}: expected a further table for additional_feat_suffix, found none.")
        if self.config.needs.tables:
            super()._load_additional_feat(token, dataset_path)

    def _name_unused_columns(self):
        """Say which columns of .user and .item nothing reads; those that only other models read are no surprise."""
        known = {*self._content_fields, self.prior_field, self.genre_field, self.uploader_field}
        unused = {
            suffix: [name for name in self._loaded[suffix] if name not in known | self._used.get(suffix, set())]
            for suffix in ("user", "item")
            if suffix in self._loaded
        }
        if any(unused.values()):
            said = "; ".join(f"{', '.join(names)} of .{suffix}" for suffix, names in unused.items() if names)
            advice = " Name numbers in user_features or item_features to make them features." * self.for_context
            self.logger.info(f"Columns that {self.config['model']} does not use: {said}.{advice}")

    def _require_vectors(self, folder, token):
        for fields, suffix in ((self.video_fields, "user"), (self.music_fields, "item")):
            path = folder / f"{token}.{suffix}"
            for field in fields:
                if field not in self._vectors:
                    raise DataError(
                        f"{path}: expected a field '{field}:float_seq' or an entry of feature_files, "
                        f"found neither.{self._left_out(suffix, field)}"
                    )
            if len(fields) > 1:
                require_one_of(path, {field: self._vectors[field][1] for field in fields})

    def _require_confounder(self, folder, token):
        """The uploaders' priors and the genres, where the model or a metric (GenreKL, MajorityShare) needs them."""
        if self._reads_prior:
            if self.prior_field not in self._vectors:
                raise DataError(
                    f"{folder / token}.user: expected a field '{self.prior_field}:float_seq' or uploader_prior: train, "
                    f"found neither.{self._left_out('user', self.prior_field)}"
                )
            matrix = self._vectors[self.prior_field][1].numpy()
            path = folder / f"{token}.user"
            priors.check_probabilities(matrix, lambda row: f"{path}, line {row + 2}", self.prior_field)
        if self.needs_genre and self.genre_field not in self._tokens:
            raise DataError(
                f"{folder / token}.item: expected a field '{self.genre_field}:token_seq', found none."
                f"{self._left_out('item', self.genre_field)}"
            )

    def _left_out(self, suffix, field):
        """What to say of a field that the file has."""
        there = field in self._headers.get(suffix, {}) and field not in self._loaded[suffix]
        return f" The file has '{field}', but load_col or unload_col leaves it out." if there else ""
