"""The audit from a checkpoint to its report."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from helpers.running import make_config

from recbole_decm.audit.report import format_audit
from recbole_decm.audit.run import audit
from recbole_decm.cli.main import main
from recbole_decm.errors import CheckpointError, ConfigError, DataError
from recbole_decm.simulation.causal import SimulationConfig, simulate
from recbole_decm.simulation.files import write_simulation
from recbole_decm.training.run import run_config

FAST = {"epochs": 3, "latent_dimension": 16, "topk": [10], "teacher": "none"}


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    """A small simulation in a strongly confounded world; read only."""
    config = SimulationConfig(
        videos=1_500, music=60, pgc_videos=200, pgc_music=60, visual_dim=32, acoustic_dim=16, confounding=2.0
    )
    folder = tmp_path_factory.mktemp("simulated")
    write_simulation(simulate(config), folder, "s")
    return folder


def trained(folder, model="DecCM", dataset="s", **values):
    values = {**FAST, **values} if model == "DecCM" else {"epochs": 2, "topk": [10], **values}
    run, test = run_config(make_config(model, folder, dataset=dataset, **values))
    return Path(run.trainer.saved_model_file), run, test


def test_the_linear_fusion_changes_no_ranking_and_the_audit_says_why(simulated):
    path, _, test = trained(simulated)
    found = audit(path)
    assert found["rank_change_rate"] == 0 and all(row["lists_changed"] == 0 for row in found["priors"])
    assert max(row["uneven_shift"] for row in found["priors"]) < 1e-9
    assert "adds the same number" in found["explanation"] and "no prior can change a ranking" in found["explanation"]
    assert found["explained"]["all"] > 0 and found["explained"]["within_video"] < 1e-12
    assert found["genres"]["recall"]["test"] == pytest.approx(test["recall@10"], abs=1e-6)
    assert "Rank-change rate: 0." in format_audit(found)


@pytest.mark.parametrize(("backdoor", "fusion"), [("conditional", "genre"), ("exact", "bilinear")])
def test_other_fusions_change_rankings(simulated, backdoor, fusion):
    values = {"backdoor": backdoor, "confounder_fusion": fusion, "inference_prior": "uniform"}
    path, run, test = trained(simulated, **values)
    found = audit(path)
    rows = {row["prior"]: row for row in found["priors"]}
    assert rows["mean"]["lists_changed"] == 0 and found["rank_change_rate"] > 0.2
    assert rows["uniform"]["recall"]["test"] == pytest.approx(test["recall@10"], abs=1e-6)
    assert rows["uniform"]["recall"]["do"] == pytest.approx(run.extra_results["test_do"]["recall@10"], abs=1e-6)
    assert rows["uniform"]["genres"] == pytest.approx(found["genres"]["shares"]["recommended"])
    assert found["genres"]["shares"]["recommended"][0] == pytest.approx(test["majorityshare@10"], abs=1e-6)
    assert "adds the same number" not in found["explanation"]
    value, low, high = found["genres"]["dorecall"]
    assert rows["uniform"]["dorecall"] == [value, low, high] and low < value < high
    about = found["estimated"]
    assert about["chosen_majority_share"]["observed"] > about["chosen_majority_share"]["estimated"]
    assert abs(value - found["genres"]["recall"]["do"]) < 0.15 and 30 < about["effective_sample_size"] < 150
    shown = format_audit(found)
    assert "do-recall (true)" in shown and f"do-recall@10 (estimated) {value:.4f}" in shown
    if fusion == "genre":  # a preference for one genre alone brings its music up
        shares = [row["genres"][g] - rows["mean"]["genres"][g] for g, row in enumerate(found["priors"][2:8])]
        assert min(shares) > 0


def test_genre_shares_of_the_truth(simulated):
    path, _, _ = trained(simulated, backdoor="none")
    found = audit(path)
    shares = found["genres"]["shares"]
    assert found["rank_change_rate"] == 0 and "no confounder" in found["explanation"] and "priors" not in found
    assert shares["catalogue"] == pytest.approx([24 / 60, 12 / 60, 9 / 60, 7 / 60, 5 / 60, 3 / 60], abs=1e-6)
    assert shares["training"][0] > shares["chosen (do)"][0] + 0.1  # the confounder pushes the majority
    references = json.loads((simulated / "s" / "s.references.json").read_text())
    assert shares["oracle"][0] == pytest.approx(references["oracle"]["majority_share"])
    assert found["references"] == references


def test_a_matcher_without_confounder_and_data_without_truth(planted):
    path, _, _ = trained(planted, "CMVAE", "planted")
    found = audit(path, k=5)
    assert found["references"] is None and "oracle" not in found["genres"]["shares"]
    assert found["teacher"] == {"note": "CMVAE has no teacher."}
    assert "Teacher: CMVAE has no teacher." in format_audit(found)


def test_data_without_genres(own_planted):
    path = own_planted / "planted" / "planted.item"
    rows = [line.split("\t") for line in path.read_text().splitlines()]
    path.write_text("\n".join("\t".join([row[0], *row[2:]]) for row in rows) + "\n")
    found = audit(trained(own_planted, dataset="planted", backdoor="conditional", confounder_fusion="gated")[0])
    assert found["genres"] is None and found["rank_change_rate"] >= 0 and "only group 2" in format_audit(found)


def test_the_teacher_is_found_and_compared(planted):
    values = {"teacher": "auto", "teacher_config": {"epochs": 2, "train_batch_size": 64}, "epochs": 12, "eval_step": 12}
    loose = audit(trained(planted, dataset="planted", teacher_weight=0.0, **values)[0])["teacher"]
    tight = audit(trained(planted, dataset="planted", teacher_weight=5.0, **values)[0])["teacher"]
    assert len(tight["kl"]["visual"]) == len(tight["kl"]["acoustic"]) == 16
    assert sum(tight["kl"]["visual"]) < 0.5 * sum(loose["kl"]["visual"])
    assert tight["agreement"]["overlap"] > loose["agreement"]["overlap"]
    assert 0 <= tight["teacher_recall"]["test"] <= 1


def test_the_command_writes_its_report(simulated, capsys):
    path, _, _ = trained(simulated, confounder_fusion="genre", backdoor="conditional")
    before = path.read_bytes()
    assert main(["audit", str(path), "--dataset", "s", "--out", "report", "--k", "5", "--videos", "50"]) == 0
    shown = capsys.readouterr().out
    found = json.loads(Path("report/audit.json").read_text())
    assert found["k"] == 5 and found["videos"] == 50
    assert "the first 50 videos: expected an effective sample" in found["estimated"]["not_estimated"]
    assert "nothing is estimated: the first 50 videos" in shown
    assert "uploader's own" in shown and "Oracle (true match)" in shown and "genre shares" in shown
    page = Path("report/audit.html").read_text()
    assert "Rank changes against the training mean" in page and 'src="http' not in page
    assert path.read_bytes() == before


def test_what_cannot_be_audited(planted, simulated, capsys):
    other, _, _ = trained(planted, "BPR", "planted")
    with pytest.raises(CheckpointError, match=r"expected a checkpoint of DecCM, .*found one of BPR"):
        audit(other)
    assert main(["audit", "nowhere.pth"]) == 2 and "found no file" in capsys.readouterr().err
    path, _, _ = trained(planted, dataset="planted")
    with pytest.raises(ConfigError, match="--k: expected at most 40"):
        audit(path, k=41)
    shutil.copytree(simulated, "broken")
    Path("broken/s/s.truth.npz").write_bytes(b"no archive")
    path, _, _ = trained(Path("broken"))
    with pytest.raises(DataError, match=r"s\.truth\.npz: expected an archive"):
        audit(path)
