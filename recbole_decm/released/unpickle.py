"""Read ``.npy`` files of the released layout, whose object arrays are pickles, without running any code in them."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from recbole_decm.errors import DataError

# All that a pickled array of arrays, lists, strings and numbers needs. Each entry only builds arrays or scalars.
_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}
for _module in ("numpy.core.multiarray", "numpy._core.multiarray"):
    _ALLOWED[(_module, "_reconstruct")] = np.array(0).__reduce__()[0]
    _ALLOWED[(_module, "scalar")] = np.float64(0).__reduce__()[0]
_ALLOWED[("numpy.core.numeric", "_frombuffer")] = _ALLOWED[("numpy._core.numeric", "_frombuffer")] = np.array(
    0.0
).__reduce_ex__(5)[0]


def _latin1(text: str, encoding: str) -> bytes:
    """``_codecs.encode`` as protocol 2 uses it to store bytes, and nothing more of it."""
    if not isinstance(text, str) or encoding != "latin1":
        raise pickle.UnpicklingError("expected text in latin1")
    return text.encode("latin1")


_ALLOWED[("_codecs", "encode")] = _latin1


class _NumpyUnpickler(pickle.Unpickler):
    """Builds numpy arrays and plain Python values; any other import is refused before it happens."""

    def __init__(self, stream: io.BufferedIOBase, path: Path):
        super().__init__(stream, encoding="latin1")
        self._path = path

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[(module, name)]
        except KeyError:
            raise DataError(
                f"{self._path}: expected numbers, text and lists, found a pickle that imports {module}.{name}. "
                "The file carries code and was not read."
            ) from None

    def persistent_load(self, pid: Any) -> Any:
        raise DataError(f"{self._path}: expected numbers, text and lists, found a reference to something outside.")


def load_array(path: Path) -> np.ndarray:
    """Read a ``.npy`` file: memory-mapped where it holds plain numbers, through a restricted unpickler where objects.

    Returns:
        the array; read-only and mapped for plain dtypes.

    Raises:
        DataError: missing, truncated, not a ``.npy``, or a pickle that would import anything but numpy's arrays.
    """
    try:
        with path.open("rb") as stream:
            version = np.lib.format.read_magic(stream)
            reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, fortran, dtype = reader(stream)
            if dtype.hasobject:
                return _read_objects(stream, path, shape, fortran)
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise DataError(f"{path}: expected a .npy file, found none.") from error
    except DataError:
        raise
    except Exception as error:  # a damaged header or pickle raises nearly anything
        raise DataError(f"{path}: expected a whole .npy file, but {type(error).__name__}: {error}") from error


def _read_objects(stream: io.BufferedIOBase, path: Path, shape: tuple[int, ...], fortran: bool) -> np.ndarray:
    array = _NumpyUnpickler(stream, path).load()
    if not isinstance(array, np.ndarray) or array.size != int(np.prod(shape)):
        found = f"{array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
        raise DataError(f"{path}: expected an array of shape {shape}, as its header says, found {found}.")
    return array.reshape(shape[::-1]).T if fortran else array.reshape(shape)
