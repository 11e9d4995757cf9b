"""Compare our model under ``objective: released`` with golden values of the released code, number by number."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from recbole_decm.model.cmvae import DecCMTeacher
from recbole_decm.model.decm import DecCM
from recbole_decm.released.golden import INPUTS, METRIC, MODES, Golden, candidates_fit
from recbole_decm.released.golden_model import batch_quantities, build_model, load_state, metric_quantities
from recbole_decm.released.names import TEACHER_PREFIX, released_entries

TOLERANCE = 1e-5


@dataclass(frozen=True)
class Agreement:
    """One quantity of a golden file: its largest errors, whether it agrees, and a remark for people."""

    quantity: str
    absolute: float
    relative: float
    agrees: bool
    remark: str = ""


def compare_arrays(quantity: str, found: np.ndarray, expected: np.ndarray, tolerance: float) -> Agreement:
    """Compare two arrays; every element may be off by ``tolerance``, absolute or relative, whichever is smaller.

    Returns:
        the largest absolute and the largest relative error (relative to ``expected``; 0 where both are equal).
    """
    found, expected = np.asarray(found, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    if found.shape != expected.shape:
        remark = f"shape {expected.shape}, ours has {found.shape}"
        return Agreement(quantity, math.inf, math.inf, False, remark)
    if found.size == 0:
        return Agreement(quantity, 0.0, 0.0, True)
    with np.errstate(divide="ignore", invalid="ignore"):
        absolute = np.where(found == expected, 0.0, np.abs(found - expected))
        relative = np.where(absolute == 0, 0.0, absolute / np.abs(expected))
        agrees = bool((np.minimum(absolute, relative) <= tolerance).all())  # NaN agrees with nothing
    return Agreement(quantity, float(absolute.max()), float(relative.max()), agrees)


def verify(golden: Golden, tolerance: float = TOLERANCE) -> list[Agreement]:
    """Compare every quantity of a golden file with what our model computes.

    Returns:
        one :class:`Agreement` for each entry of the file, and one for each gradient that the file says is none.
    """
    model, teacher = build_model(golden)
    found: dict[str, np.ndarray] = {}
    for mode in MODES:
        found |= batch_quantities(model, golden, mode)
    found |= metric_quantities(model, golden)
    rows = [*_compare_inputs(golden, tolerance), *_compare_state(model, teacher, golden)]
    handled = {row.quantity for row in rows}
    unused = {name for name, entry in released_entries(golden.sizes).items() if entry.ours is None}
    for name, expected in golden.arrays.items():
        if name in handled:
            continue
        mode, _, parameter = name.partition(".grad.")
        if name not in found and mode in MODES and (parameter in unused or parameter.startswith(TEACHER_PREFIX)):
            found[name] = np.zeros(expected.shape)
        if name in found:
            rows.append(compare_arrays(name, found[name], expected, tolerance))
        else:
            rows.append(Agreement(name, math.nan, math.nan, False, _why_not(name)))
    return rows + list(_absent_gradients(golden, found, tolerance))


def _why_not(name: str) -> str:
    if METRIC.fullmatch(name):
        return "not compared: no fitting metric.candidates and metric.weights"
    return "not compared: no such quantity in our model"


def _compare_inputs(golden: Golden, tolerance: float) -> Iterable[Agreement]:
    """Inputs have nothing to be compared with, but what the format promises of them."""
    for name in ("in.music", "in.video"):
        finite = bool(np.isfinite(golden.arrays[name]).all())
        yield Agreement(name, 0.0, 0.0, finite, "input" if finite else "input: expected finite numbers")
    prior = golden.arrays["in.prior"].astype(np.float64)
    yield _input(INPUTS[2], compare_arrays("", prior.sum(axis=1), np.ones(golden.batch), tolerance), "rows sum to 1")
    if "metric.candidates" in golden.arrays:
        fits = candidates_fit(golden)
        yield Agreement("metric.candidates", 0.0, 0.0, fits, "input: positive first, then others, each once")
    if "metric.weights" in golden.arrays:
        weights = golden.arrays["metric.weights"].astype(np.float64)
        total = compare_arrays("", weights.sum(), np.float64(1), tolerance)
        row = _input("metric.weights", total, "a weight a row, sum 1")
        yield replace(row, agrees=row.agrees and weights.shape == (golden.batch,) and bool((weights >= 0).all()))


def _input(name: str, sums: Agreement, promise: str) -> Agreement:
    return replace(sums, quantity=name, remark=f"input: {promise}")


def _compare_state(model: DecCM, teacher: DecCMTeacher | None, golden: Golden) -> Iterable[Agreement]:
    """Every weight of the file must be in our model, under our name."""
    load_state(model, golden)
    states = {"": model.state_dict()} | ({TEACHER_PREFIX: teacher.state_dict()} if teacher is not None else {})
    for prefix, state in states.items():
        for name, entry in released_entries(golden.sizes).items():
            key = f"state.{prefix}{name}"
            if key not in golden.arrays:
                continue
            if entry.ours is None:
                yield Agreement(key, 0.0, 0.0, True, "not used; no gradient")
            else:
                yield compare_arrays(key, state[entry.ours].numpy(), golden.arrays[key], 0.0)


def _absent_gradients(golden: Golden, found: dict[str, np.ndarray], tolerance: float) -> Iterable[Agreement]:
    """A parameter without an entry among the file's gradients gets none from us either."""
    for mode in MODES:
        head = f"{mode}.grad."
        if any(name.startswith(head) for name in golden.arrays):
            for name in found:
                if name.startswith(head) and name not in golden.arrays:
                    row = compare_arrays(name, found[name], np.zeros(found[name].shape), tolerance)
                    yield replace(row, remark="no gradient in the file")
