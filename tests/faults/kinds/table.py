"""All kinds of bad inputs: each a table, then draws from a seeded generator, so that a campaign can be run again."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from faults.harness import Case
from faults.kinds.atomic import atomic
from faults.kinds.checkpoints import checkpoints
from faults.kinds.disks import disks
from faults.kinds.indexes import indexes
from faults.kinds.keys import keys
from faults.kinds.matrices import npys
from faults.kinds.names import names
from faults.kinds.queries import queries
from faults.kinds.specifications import specifications
from faults.kinds.yamls import yamls

KINDS: dict[str, Callable[[random.Random], Iterator[Case]]] = {
    "keys": keys,
    "yaml": yamls,
    "atomic": atomic,
    "npy": npys,
    "checkpoints": checkpoints,
    "indexes": indexes,
    "specifications": specifications,
    "queries": queries,
    "names": names,
    "disks": disks,
}
