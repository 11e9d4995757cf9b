"""Write golden files of the released objective from a second, naive implementation: loops over plain numpy in float64.

    python tests/golden/make_golden.py

It shares no code with the package. Gradients are central differences. The files have the layout that
``recbole-decm verify-released`` reads; their weights and batches are random.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np

FILES = {
    "naive_wide.npz": {"seed": 11, "music_dim": 3, "video_dim": 6, "latent_dim": 4, "num_groups": 3, "batch": 9}
    | {"num_negatives": 4, "margin": 0.1, "alpha": 0.3, "reconstruction_weight": 0.7, "music_loss_factor": 0.5},
    "naive_tall.npz": {"seed": 12, "music_dim": 7, "video_dim": 4, "latent_dim": 5, "num_groups": 2, "batch": 8}
    | {"num_negatives": 8, "margin": 0.4, "alpha": 2.0, "reconstruction_weight": 1.5, "music_loss_factor": 1.25},
}
STEP = 1e-6


def random_state(rng: np.random.Generator, config: dict) -> dict[str, np.ndarray]:
    """A released state dict with random weights; the teacher's matcher once more under ``t_net.``."""
    latent, groups = config["latent_dim"], config["num_groups"]
    state: dict[str, np.ndarray] = {}

    def linear(name: str, rows: int, columns: int) -> None:
        state[f"{name}.weight"], state[f"{name}.bias"] = rng.normal(size=(rows, columns)), rng.normal(size=rows)

    def norm(name: str, width: int) -> None:
        state[f"{name}.weight"], state[f"{name}.bias"] = rng.uniform(0.5, 1.5, width), 0.3 * rng.normal(size=width)
        state[f"{name}.running_mean"] = 0.2 * rng.normal(size=width)
        state[f"{name}.running_var"] = rng.uniform(0.5, 2, width)
        state[f"{name}.num_batches_tracked"] = np.array(3)

    for prefix in ("", "t_net."):
        for encoder, decoder, width in (
            ("m_encoder", "m_decoder", config["music_dim"]),
            ("v_encoder", "video_v_decoder", config["video_dim"]),
        ):
            for layer in ("fc1", "fc_mu", "fc_logvar"):
                linear(f"{prefix}{encoder}.{layer}", latent, width)
            norm(f"{prefix}{encoder}.bn1", width)
            linear(f"{prefix}{decoder}.fc1", latent, latent)
            norm(f"{prefix}{decoder}.bn1", latent)
            linear(f"{prefix}{decoder}.fc2", width, latent)
    linear("linear", latent, 2 * latent)
    state["confounder_emb.weight"] = rng.normal(size=(groups, latent))
    return state


def random_batch(rng: np.random.Generator, config: dict) -> dict[str, np.ndarray]:
    """Features and priors; rows of the prior sum to 1."""
    pairs = config["batch"]
    return {
        "music": rng.normal(size=(pairs, config["music_dim"])),
        "video": rng.normal(size=(pairs, config["video_dim"])),
        "prior": rng.dirichlet(np.ones(config["num_groups"]), size=pairs),
    }


# --- the naive model ------------------------------------------------------------------------------------------------
def affine(state, name, rows):
    return np.array([state[f"{name}.weight"] @ row + state[f"{name}.bias"] for row in rows])


def batch_norm(state, name, rows, training):
    columns = []
    for j, column in enumerate(rows.T):
        mean, var = state[f"{name}.running_mean"][j], state[f"{name}.running_var"][j]
        if training:
            mean = sum(column) / len(column)
            var = sum((value - mean) ** 2 for value in column) / len(column)
        columns.append((column - mean) / math.sqrt(var + 1e-5) * state[f"{name}.weight"][j] + state[f"{name}.bias"][j])
    return np.array(columns).T


def unit_rows(rows):
    return np.array([row / math.sqrt(sum(value**2 for value in row)) for row in rows])


def encode(state, name, rows, training):
    hidden = batch_norm(state, f"{name}.bn1", rows, training)
    return unit_rows(affine(state, f"{name}.fc_mu", hidden)), unit_rows(affine(state, f"{name}.fc_logvar", hidden))


def decode(state, name, rows, training):
    return np.maximum(affine(state, f"{name}.fc2", batch_norm(state, f"{name}.bn1", rows, training)), 0)


def satisfied(scores, anchors_are_rows, margin, most):
    total, pairs = 0.0, len(scores)
    for i in range(pairs):
        other = scores[i] if anchors_are_rows else scores[:, i]
        slack = sorted((max(0.0, scores[i, i] - s - margin) for s in other), reverse=True)[:most]
        total += sum(slack) / len(slack)
    return total / pairs


def kl_standard(mean, logvar):
    terms = [0.5 * (math.exp(v) + m**2 - 1 - v) for m, v in zip(mean.ravel(), logvar.ravel(), strict=True)]
    return sum(terms) / len(mean)


def teacher_terms(mean, logvar, t_mean, t_logvar):
    released = textbook = 0.0
    for row in range(len(mean)):
        parts = list(zip(mean[row], logvar[row], t_mean[row], t_logvar[row], strict=True))
        released += 0.5 * (sum(b - v - math.exp(v - b) - (m - a) ** 2 / math.exp(b) for m, v, a, b in parts) - 1)
        textbook += 0.5 * sum(b - v + math.exp(v - b) + (m - a) ** 2 / math.exp(b) - 1 for m, v, a, b in parts)
    return released / len(mean), textbook / len(mean)


def outputs(state, batch, config, training) -> dict[str, np.ndarray]:
    """All tensors and loss terms of a batch, by the names of the golden files."""
    out: dict[str, np.ndarray] = {}
    teacher = {name[6:]: value for name, value in state.items() if name.startswith("t_net.")}
    for what, encoder in (("music", "m_encoder"), ("video", "v_encoder")):
        out[f"mu_{what}"], out[f"logvar_{what}"] = encode(state, encoder, batch[what], training)
        out[f"teacher_mu_{what}"], out[f"teacher_logvar_{what}"] = encode(teacher, encoder, batch[what], False)
        out[f"kl_{what}"] = kl_standard(out[f"mu_{what}"], out[f"logvar_{what}"])
    prior = batch["prior"].mean(axis=0)
    confounder = sum(p * vector for p, vector in zip(prior, state["confounder_emb.weight"], strict=True))
    out["z_video"] = out["mu_video"]
    out["z_music"] = affine(state, "linear", [np.concatenate([confounder, row]) for row in out["mu_music"]])
    out["music_from_video"] = decode(state, "m_decoder", out["z_video"], training)
    out["video_from_music"] = decode(state, "video_v_decoder", out["z_music"], training)
    out["reconstruction"] = np.mean((out["music_from_video"] - batch["music"]) ** 2) + np.mean(
        (out["video_from_music"] - batch["video"]) ** 2
    )
    scores = np.array([[sum(v * m) for m in out["z_music"]] for v in out["z_video"]])
    out["video_match"] = satisfied(scores, True, config["margin"], config["num_negatives"])
    music_match = satisfied(scores, False, config["margin"], config["num_negatives"])
    kl = [
        teacher_terms(*(out[f"{head}_{what}"] for head in ("mu", "logvar", "teacher_mu", "teacher_logvar")))
        for what in ("music", "video")
    ]
    out["teacher_kl_released"], out["teacher_kl_textbook"] = map(sum, zip(*kl, strict=True))
    out["loss"] = (
        out["kl_music"]
        + out["kl_video"]
        + config["reconstruction_weight"] * out["reconstruction"]
        + config["alpha"] * out["teacher_kl_released"]
        - out["video_match"]
        - config["music_loss_factor"] * music_match
    )
    return {name: np.asarray(value, dtype=np.float64) for name, value in out.items()}


def gradients(state, batch, config, training) -> dict[str, np.ndarray]:
    """Central differences of the loss by every trained parameter."""
    found = {}
    for name, value in state.items():
        if name.startswith("t_net.") or ".fc1." in name or name.endswith(("running_mean", "running_var", "tracked")):
            continue
        gradient = np.empty_like(value)
        for at in np.ndindex(value.shape):
            losses = []
            for step in (STEP, -STEP):
                moved = value.copy()
                moved[at] += step
                losses.append(outputs({**state, name: moved}, batch, config, training)["loss"])
            gradient[at] = (losses[0] - losses[1]) / (2 * STEP)
        found[name] = gradient
    return found


def metrics(rng: np.random.Generator, scores: np.ndarray) -> dict[str, np.ndarray]:
    """Weighted recall and gain of the positive among drawn candidates, row by row."""
    pairs = len(scores)
    lists = [[i, *rng.permutation([j for j in range(pairs) if j != i])[: pairs - 2]] for i in range(pairs)]
    weights = rng.dirichlet(np.ones(pairs))
    found = {"candidates": np.array(lists), "weights": weights, "scores": scores}
    for cut in (1, 2, 5):
        recall = gain = 0.0
        for i, (row, weight) in enumerate(zip(lists, weights, strict=True)):
            rank = sorted(row, key=lambda j: -scores[i, j]).index(i)
            if rank < cut:
                recall, gain = recall + weight, gain + weight / math.log2(rank + 2)
        found |= {f"weighted_recall@{cut}": np.array(recall), f"weighted_ndcg@{cut}": np.array(gain)}
    return found


def golden(config: dict, with_gradients: bool = True) -> dict[str, np.ndarray]:
    """All entries of a golden file."""
    config = {**config, "dropout": 0.0}
    rng = np.random.default_rng(config["seed"])
    state, batch = random_state(rng, config), random_batch(rng, config)
    entries = {f"in.{name}": value for name, value in batch.items()}
    entries |= {f"state.{name}": value for name, value in state.items()}
    for mode in ("train", "eval"):
        found = outputs(state, batch, config, mode == "train")
        if with_gradients:
            found |= {f"grad.{name}": v for name, v in gradients(state, batch, config, mode == "train").items()}
        entries |= {f"{mode}.{name}": value for name, value in found.items()}
    scores = entries["eval.z_video"] @ entries["eval.z_music"].T
    entries |= {f"metric.{name}": value for name, value in metrics(rng, scores).items()}
    return {**entries, "config": np.array(json.dumps(config))}


if __name__ == "__main__":
    for file, settings in FILES.items():
        np.savez_compressed(Path(__file__).parent / file, **golden(settings))
