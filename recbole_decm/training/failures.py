"""An error inside someone else's model, as one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from recbole_decm.errors import ConfigError, DecCMError, ResourceError


@contextmanager
def naming_model(config: Any) -> Iterator[None]:
    """Turn what RecBole's models raise into an error of this package; of ours only a lack of memory.

    Raises:
        ResourceError: there was not enough memory, on any model.
        ConfigError: a model of RecBole failed; its own error is the cause.
    """
    try:
        yield
    except (DecCMError, OSError):
        raise
    except Exception as error:
        said = " ".join(str(error).split())[:300]
        if isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "can't allocate memory" in said:
            raise ResourceError(
                f"{config['model']}: not enough memory ({said}). Use a smaller train_batch_size or eval_batch_size, "
                "a smaller feature_reduce or content_fields: vector."
            ) from error
        if not config.model_class.__module__.startswith("recbole."):
            raise
        raise ConfigError(
            f"model: {config['model']} of RecBole failed on '{config['dataset']}' ({type(error).__name__}: {said}). "
            "Other values of its keys may help (docs/keys.md); --debug shows where."
        ) from error
