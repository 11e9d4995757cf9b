"""One side of a model as ONNX, checked before it is run: it can read no file, and its operations are those we write."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recbole_decm.errors import ConfigError, DataError

LARGEST = 1 << 31
"""Bytes of a side."""
BLOCK = 4096
"""Rows that are encoded at a time."""
_NO_TELEMETRY = "ORT_DISABLE_TELEMETRY", "1"
"""Must be set before onnxruntime is imported, or it sends its maker what is run here, and leaves an id in the home."""
# fmt: off
OPERATIONS = frozenset(
    [
        "Add", "BatchNormalization", "Cast", "Clip", "Concat", "Constant", "ConstantOfShape", "Div", "Einsum",
        "Equal", "Exp", "Expand", "Flatten", "Gather", "Gemm", "Identity", "IsNaN", "Log", "MatMul", "Max",
        "Mul", "Neg", "Pow", "Range", "ReduceL2", "ReduceLogSumExp", "ReduceMax", "ReduceSum", "Reshape",
        "Shape", "Sigmoid", "Slice", "Softmax", "Split", "Sqrt", "Squeeze", "Sub", "Transpose", "Unsqueeze",
        "Where",
    ]
)
# fmt: on
"""What a side may be made of; none of these reads a file or calls other code."""


def check_side(path: Path, content: bytes) -> None:
    """Refuse an ONNX file that names other files, or holds operations that no export writes.

    Raises:
        DataError: see above, or no ONNX file.
        ConfigError: the package onnx is missing.
    """
    try:
        import onnx
        from onnx.external_data_helper import uses_external_data
    except ImportError as error:
        raise ConfigError(f"{path}: expected the package onnx. Run pip install 'recbole-decm[serve]'.") from error
    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:  # protobuf raises what it likes
        raise DataError(f"{path}: expected a model in ONNX, but {str(error)[:200]}.") from error
    if model.functions or any(part.domain not in ("", "ai.onnx") for part in model.opset_import):
        raise DataError(f"{path}: expected operations of ONNX alone, found others. It is not run.")
    for tensor in _tensors(model.graph):
        if uses_external_data(tensor):
            raise DataError(f"{path}: expected its weights in the file itself, found that it names another file.")
    for node in model.graph.node:
        if node.op_type not in OPERATIONS or node.domain not in ("", "ai.onnx"):
            raise DataError(f"{path}: expected operations that an export writes, found {node.op_type!r:.80}.")


def _tensors(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    sparse = list(graph.sparse_initializer)
    for attribute in (attribute for node in graph.node for attribute in node.attribute):
        yield from (attribute.t, *attribute.tensors)
        sparse += [attribute.sparse_tensor, *attribute.sparse_tensors]
    for part in sparse:
        yield from (part.values, part.indices)


class Side:
    """One side: matrices in, vectors out. Several threads may call it.

    Args:
        path: which the messages name.
        content: of the file; checked by :func:`check_side`.
        names: of the inputs, in their order.
    """

    def __init__(self, path: Path, content: bytes, names: Sequence[str]):
        check_side(path, content)
        os.environ.setdefault(*_NO_TELEMETRY)
        try:
            import onnxruntime
        except ImportError as error:
            raise ConfigError(
                f"{path}: expected the package onnxruntime. Run pip install 'recbole-decm[serve]'."
            ) from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", 0) or 0)
        options.log_severity_level = 4
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # others want the core, too
        try:
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise DataError(f"{path}: expected a model that can be run, but {str(error)[:200]}.") from error
        found = [entry.name for entry in self._session.get_inputs()]
        if found != list(names) or len(self._session.get_outputs()) != 1:
            raise DataError(f"{path}: expected the inputs {', '.join(names)}, found {', '.join(found)}.")
        self._path, self._names = path, list(names)

    def __call__(self, *inputs: np.ndarray) -> np.ndarray:
        """(n, F) of each input -> (n, E) float32, :data:`BLOCK` rows at a time."""
        count = len(inputs[0])
        parts = [self._run([values[start : start + BLOCK] for values in inputs]) for start in range(0, count, BLOCK)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _run(self, inputs: Sequence[np.ndarray]) -> np.ndarray:
        given = {name: np.ascontiguousarray(part, np.float32) for name, part in zip(self._names, inputs, strict=True)}
        try:
            return np.asarray(self._session.run(None, given)[0])
        except Exception as error:
            raise DataError(f"{self._path}: {str(error)[:200]}.") from error
