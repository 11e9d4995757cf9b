"""DecCMDataset: RecBole's Dataset over atomic files whose content vectors stay out of the per-batch join.

Internal ids follow the order of the ``.user`` and ``.item`` files (id = line, 0 is padding), for every model, so
that candidate lists and per-video results can be compared between models.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from recbole.data.interaction import Interaction
from recbole.utils import FeatureType

from recbole_decm.data import priors
from recbole_decm.data.dataset_files import MUSIC, VIDEO
from recbole_decm.data.features import FeatureMatrix, place, reduce_features
from recbole_decm.data.folded import FoldedDataset
from recbole_decm.data.inputs import ModelInputs
from recbole_decm.errors import ConfigError, DataError


class DecCMDataset(FoldedDataset):
    """Interactions of videos (users) with music (items), their content vectors and the uploaders' priors.

    Attributes set after :meth:`build`, on every split:
        features: field -> :class:`FeatureMatrix` (``visual`` by video id, ``acoustic`` by music id); our models only.
        uploader_prior: (n_videos, K) float32 by video id, row 0 zero; None where no model or metric uses it.
        training_prior: the same as training sees it: of a training video, without its own choice where so set.
        prior_mean: (K,) float32, mean of the priors over the training rows.
        popularity: (n_music,) int64, training interactions of each track.
    """

    # --- ids ----------------------------------------------------------------------------------------------------
    def _data_processing(self):
        if self.ipw_field in self.inter_feat:  # rows of a split without the column carry no weight
            self.inter_feat[self.ipw_field] = self.inter_feat[self.ipw_field].fillna(0.0)
        super()._data_processing()
        if self.for_context:  # pairs that are ranked have no columns of their own
            for field in [field for field in self.token_like_fields if field in self.inter_feat]:
                if field not in (self.uid_field, self.iid_field):
                    self._del_col(self.inter_feat, field)
        for field in self._content_fields:
            if field in self._vectors and (self.for_matching or self.needs_choices):
                residency = self.config["feature_residency"] if self.for_matching else "host"
                device = self.config["device"] if self.for_matching else torch.device("cpu")
                self.features[field] = place(self._by_id(field), residency, device)

    def _normalize(self):
        if self.for_context:
            super()._normalize()

    def _discretization(self):
        if self.for_context:
            super()._discretization()

    def _preload_weight_matrix(self):
        if self.config.needs.tables:
            super()._preload_weight_matrix()

    def _get_remap_list(self, field_list):
        """Number videos and music in the order of .user and .item, not in the order of interactions."""
        return super()._get_remap_list(field_list)[::-1]

    def _by_id(self, field):
        tokens, values = self._vectors[field]
        source_field = self.uid_field if field in (*self.video_fields, self.prior_field) else self.iid_field
        rows = pd.Index(tokens).get_indexer(self.field2id_token[source_field])
        rows[0] = 0
        return FeatureMatrix(field, values, torch.from_numpy(rows.astype(np.int64)), self._files.get(field))

    def join(self, df):
        return df if self.for_matching else super().join(df)

    def model_inputs(self) -> ModelInputs:
        """The numbers that our models are built from; of the training split."""
        fields = (self.uid_field, self.iid_field)
        return ModelInputs(
            video={field: self.features[field] for field in self.video_fields},
            music={field: self.features[field] for field in self.music_fields},
            popularity=self.popularity,
            priors=self.uploader_prior,
            training_priors=self.training_prior,
            prior_mean=self.prior_mean,
            genres=self.genre_membership if self.needs_genre else None,
            genre_names=self.genre_names,
            pairs=(self.inter_feat[fields[0]], self.inter_feat[fields[1]]),
            uploaders=self._uploader_of_video() if self.config.needs.uploader else None,
            id_fields=fields,
        )

    # --- splits -------------------------------------------------------------------------------------------------
    def build(self):
        """Split, then derive from the training rows what only they may tell. A missing third split is None."""
        splits = super().build()
        names = self.benchmark_filename_list if self.config.ready_made else ["train", "valid", "test"]
        for name, split in zip(names, splits, strict=True):
            if len(split) == 0:
                raise DataError(
                    f"{self.dataset_path}: expected interactions in the split '{name}', found none. {self._more_rows()}"
                )
        if not 2 <= len(splits) <= 3:
            raise ConfigError(f"benchmark_filename: expected [train, valid] or [train, valid, test], found {names}.")
        self._derive_from(splits)
        return [*splits, None][:3]

    def of_rows(self, parts: list[Interaction]) -> list[DecCMDataset]:
        """Splits of given rows, the first of them for training; of a data set that is built."""
        splits = [self.copy(part) for part in parts]
        splits[0]._derive_from(splits)
        return splits

    def _derive_from(self, splits):
        """Set on this and all splits what the training rows, the first split, alone may tell."""
        train = splits[0]
        videos, music = train.inter_feat[self.uid_field].numpy(), train.inter_feat[self.iid_field].numpy()
        shared = {"popularity": np.bincount(music, minlength=self.item_num)}
        if self.needs_prior:
            shared["uploader_prior"], shared["training_prior"] = self._build_priors(videos, music)
            shared["prior_mean"] = shared["uploader_prior"][torch.from_numpy(videos)].mean(dim=0)
        if self.for_context:
            self._add_reduced_features(videos, music)
        for split in [self, *splits]:
            for name, value in shared.items():
                setattr(split, name, value)

    def groups_of(self, videos: np.ndarray, music: np.ndarray) -> np.ndarray:
        """The group of each row by who chose: its uploader; where that is not known, all rows with the same uploader
        preference; where that is not read either, all rows of the track.

        Args:
            videos, music: (n,) ids of the rows.

        Returns:
            (n,) int64, numbered in the order of the rows.
        """
        if self._reads_prior:
            values = self._by_id(self.prior_field).lookup(torch.from_numpy(videos)).numpy()
            keys = np.array([b"preference " + row.tobytes() for row in values], dtype=object)
        else:
            keys = np.array([b"track %d" % track for track in music], dtype=object)
        if self.uploader_field in self._tokens:
            tokens, uploaders = self._tokens[self.uploader_field]
            known = uploaders[pd.Index(tokens).get_indexer(self.field2id_token[self.uid_field][videos])]
            keys = np.where(known == "", keys, known)
        return pd.factorize(keys)[0].astype(np.int64)

    def _more_rows(self):
        """What to do about a split without rows."""
        args = self.config["eval_args"]
        if self.config.ready_made:
            return "Let threshold, val_interval and the other filters keep more rows."
        if "RS" not in args["split"] or args["group_by"] == "user":
            return "With one music a video, use eval_args: {split: {RS: [0.8, 0.1, 0.1]}, group_by: none}."
        return "Give it a larger share in eval_args: {split: {RS: [...]}}, let the filters keep more rows, or add data."

    def _build_priors(self, videos, music):
        if self._reads_prior:
            matrix = self._by_id(self.prior_field)
            values = matrix.lookup(torch.arange(len(matrix)))
            values[0] = 0
            values = self._to_known_columns(values)
            return values, values
        if self.uploader_field not in self._tokens or self.genre_field not in self._tokens:
            raise DataError(
                f"{self.dataset_path}: uploader_prior: train needs '{self.uploader_field}:token' in .user and "
                f"'{self.genre_field}:token_seq' in .item."
            )
        tables = priors.priors_from_training(
            self._uploader_of_video(),
            videos,
            music,
            self.genre_membership,
            self.config["prior_smoothing"],
        )
        for table in tables:
            table[0] = 0
        full, others = map(torch.from_numpy, tables)
        return full, others if self.config["prior_leave_one_out"] else full

    def _uploader_of_video(self):
        """(n_videos,) int64 number of the uploader of each video id; 0 for the padding.

        Raises:
            DataError: ``.user`` names none.
        """
        if self.uploader_field not in self._tokens:
            raise DataError(
                f"{self.dataset_path}: expected '{self.uploader_field}:token' in .user for {self.config['model']}, "
                "found none."
            )
        tokens, uploaders = self._tokens[self.uploader_field]
        rows = pd.Index(tokens).get_indexer(self.field2id_token[self.uid_field][1:])
        return np.concatenate([[0], priors.number_uploaders(uploaders)[rows] + 1])

    @property
    def uploaders(self) -> np.ndarray | None:
        """(n_videos,) int64 number of the uploader of each video id; None where the files do not tell."""
        return self._uploader_of_video() if self.uploader_field in self._tokens else None

    @cached_property
    def _genres(self) -> list[list[str]]:
        """Genres of each track id; none of the padding."""
        tokens, cells = self._tokens[self.genre_field]
        rows = pd.Index(tokens).get_indexer(self.field2id_token[self.iid_field][1:])
        return [[], *(cells[row] for row in rows)]

    @cached_property
    def genre_vocabulary(self) -> list[str]:
        """The K genre groups, entry k is column k of the priors: those of ``.item`` in natural order, or where a
        checkpoint is evaluated those that it was trained with."""
        return priors.known_genres(self._found_genres, self.config.genres, self._item_file)

    @cached_property
    def _found_genres(self) -> list[str]:
        return priors.genre_vocabulary(self._genres) if self.genre_field in self._tokens else []

    @property
    def _item_file(self) -> Path:
        return Path(self.dataset_path, f"{self.dataset_name}.{MUSIC.value}")

    @property
    def genre_names(self) -> tuple[str, ...]:
        """What the columns of the priors are called; empty where the files do not tell."""
        names = tuple(self.genre_vocabulary) if self._found_genres else ()
        return names if self.uploader_prior is None or self.uploader_prior.shape[1] == len(names) else ()

    def _to_known_columns(self, values):
        """(V, K) preferences in the order of the files -> in the order that a checkpoint was trained with."""
        found, trained = self._found_genres, self.config.genres
        if trained and not found and values.shape[1] == len(trained):
            self.logger.warning(
                f"{self._item_file}: no genres; the columns of '{self.prior_field}' are taken as the checkpoint's: "
                f"{', '.join(trained)}"
            )
            return values
        if trained and len(found) != values.shape[1]:
            raise DataError(
                f"{self._item_file}: expected {values.shape[1]} genres, one for each column of '{self.prior_field}', "
                f"found {len(found)}: the columns cannot be told, and the checkpoint knows them by name "
                f"({', '.join(trained)})."
            )
        if not trained or found == self.genre_vocabulary:
            return values
        known = torch.zeros(len(values), len(trained), dtype=values.dtype)
        known[:, [trained.index(genre) for genre in found]] = values
        return known

    @cached_property
    def genre_membership(self) -> np.ndarray:
        """(n_music, K) float32 genre distribution of each track id; row 0 is zero.

        Raises:
            DataError: the priors have another number of groups, so that their columns cannot be told.
        """
        groups = len(self.genre_vocabulary)
        if self.uploader_prior is not None and self.uploader_prior.shape[1] != groups:
            raise DataError(
                f"{self.dataset_path}: expected one column of '{self.prior_field}' for each genre of .item "
                f"({groups}: {', '.join(self.genre_vocabulary)}), found {self.uploader_prior.shape[1]}. "
                "Give every genre group at least one music, or use uploader_prior: train."
            )
        return priors.genre_membership(self._genres, self.genre_vocabulary)

    def _add_reduced_features(self, videos, music):
        """Give RecBole's context-aware models the (principal) components of each vector.

        With ``content_fields: component`` each is a float field of its own. With ``vector`` they are one ``float_seq``
        field, a linear projection of the vector: RecBole looks an entry's embedding up by its index, and averages over
        the field. So each component has its own index; by RecBole's, which are all 1, only the components' mean would
        be left. The root of their number as a factor makes the field as large as that of one component.
        """
        sizes = self.config["feature_reduce"] or {}
        fields = [(field, videos, VIDEO) for field in self.video_fields]
        fields += [(field, music, MUSIC) for field in self.music_fields]
        for field, ids, source in fields:
            if field not in self._vectors:
                continue
            size = sizes.get(field, sizes.get("visual" if source == VIDEO else "acoustic"))
            used = torch.from_numpy(np.unique(ids))
            reduced = reduce_features(self._by_id(field), used, size, self.config["seed"])
            if self.config["content_fields"] == "vector":
                index = torch.arange(1, reduced.shape[1] + 1).expand(reduced.shape)
                values = torch.stack([reduced * reduced.shape[1] ** 0.5, index], dim=2)
                self._add_numbers(field, FeatureType.FLOAT_SEQ, source, values)
                continue
            for column in range(reduced.shape[1]):
                values = torch.stack([reduced[:, column], torch.ones(len(reduced))], dim=1)
                self._add_numbers(f"{field}_{column + 1}", FeatureType.FLOAT, source, values)

    def _add_numbers(self, name, kind, source, values):
        """A numeric field: (n_ids, 2) of value and index, or (n_ids, F, 2) of a sequence of these."""
        length = values[0, ..., 0].numel()
        self.set_field_property(name, kind, source, length)
        self.field2bucketnum[name] = length + 1
        getattr(self, f"{source.value}_feat")[name] = values
        if name not in self.config["numerical_features"]:
            self.config["numerical_features"].append(name)
