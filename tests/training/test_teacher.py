"""The teacher stage: trained once, cached under its config and data, its posteriors computed once."""

from __future__ import annotations

import shutil
import threading
import time
from pathlib import Path

import pytest
import torch
from helpers.running import make_config, run_quick

from recbole_decm.errors import CheckpointError, ConfigError
from recbole_decm.model.cmvae import CMVAE
from recbole_decm.training import teacher
from recbole_decm.training.run import fit, run_config

FAST = {"teacher_config": {"epochs": 2, "train_batch_size": 64}, "epochs": 1}


def cached() -> list[Path]:
    return sorted(Path("saved/teachers").glob("*.pth"))


def test_auto_trains_once_and_reuses(planted):
    first = run_quick("DecCM", planted, **FAST)
    (path,) = cached()
    written = path.stat().st_mtime_ns
    second = run_quick("DecCM", planted, **FAST)
    assert cached() == [path] and path.stat().st_mtime_ns == written
    assert first == second  # a fresh teacher and a cached one lead to the same student
    assert path.name.startswith("planted-pgc-") and len(list(Path("saved").glob("DecCMTeacher*"))) == 0


def test_the_key_follows_config_and_data(own_planted):
    values = {**FAST, "checkpoint_dir": "saved"}
    keys = [teacher.fingerprint(teacher.teacher_config(make_config("DecCM", own_planted, **values)))]
    other = {**values, "teacher_config": {**FAST["teacher_config"], "margin": 0.5}}
    keys.append(teacher.fingerprint(teacher.teacher_config(make_config("DecCM", own_planted, **other))))
    keys.append(teacher.fingerprint(teacher.teacher_config(make_config("DecCM", own_planted, **values, seed=3))))
    path = own_planted / "planted-pgc" / "planted-pgc.train.inter"
    path.write_text(path.read_text() + "pv100\tm3\n".replace("m3", "pm3"))
    keys.append(teacher.fingerprint(teacher.teacher_config(make_config("DecCM", own_planted, **values))))
    assert len(set(keys)) == 4
    same = make_config(
        "DecCM", own_planted, **values, show_progress=True, margin=0.9
    )  # the student's margin is its own
    assert teacher.fingerprint(teacher.teacher_config(same)) == keys[3]


def test_missing_pgc_names_the_three_choices(own_planted):
    shutil.rmtree(own_planted / "planted-pgc")
    with pytest.raises(ConfigError, match=r"(?s)planted-pgc.*put the PGC data.*--teacher=PATH.*--teacher=none"):
        run_quick("DecCM", own_planted)
    run_quick("DecCM", own_planted, teacher="none", topk=[1, 10], epochs=1)


def test_teacher_by_path_and_posteriors_computed_once(planted, monkeypatch):
    run_quick("DecCM", planted, **FAST)
    (path,) = cached()
    calls = []
    posteriors = CMVAE.posteriors
    monkeypatch.setattr(
        CMVAE, "posteriors", lambda self, name: calls.append((type(self).__name__, name)) or posteriors(self, name)
    )
    trained = fit(make_config("DecCM", planted, teacher=str(path), epochs=3))
    assert [name for name in calls if name[0] == "DecCMTeacher"] == [
        ("DecCMTeacher", "visual"),
        ("DecCMTeacher", "acoustic"),
    ]
    video, music = trained.model.teacher.of_all()
    assert video.mean.shape == (601, 128) and music.logvar.shape == (41, 128)


def test_attached_posteriors_are_the_teachers_own(planted):
    """The student's data encoded by the trained teacher model itself."""
    run_quick("DecCM", planted, **FAST)
    student = fit(make_config("DecCM", planted, **FAST))
    trained_teacher, _ = run_config(
        make_config("DecCMTeacher", planted, dataset="planted-pgc", **FAST["teacher_config"])
    )
    view = trained_teacher.model.eval()
    visual = student.model.visual.lookup(torch.arange(1, 5))
    with torch.no_grad():
        expected = view.encode("visual", visual)
    assert torch.allclose(student.model.teacher.of_all()[0].mean[1:5], expected.mean, atol=1e-5)
    assert torch.allclose(student.model.teacher.of_all()[0].logvar[1:5], expected.logvar, atol=1e-5)


def test_a_heavier_teacher_brings_the_student_closer(planted):
    def distance(weight):
        trained = fit(make_config("DecCM", planted, **{**FAST, "epochs": 8}, teacher_weight=weight))
        model = trained.model.eval()
        with torch.no_grad():
            return (model.posteriors("visual").mean - model.teacher.of_all()[0].mean).norm(dim=1).mean().item()

    assert distance(5.0) < 0.8 * distance(0.0)


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"teacher": "nowhere.pth"}, ConfigError, "teacher: expected auto, none or a checkpoint.*nowhere.pth"),
        ({"latent_dimension": 64}, CheckpointError, "expected a teacher of 64 latent dimensions.*found 128"),
    ],
)
def test_bad_teacher(planted, values, error, message):
    run_quick("DecCM", planted, **FAST)
    with pytest.raises(error, match=message):
        run_quick("DecCM", planted, **{"teacher": str(cached()[0]), "epochs": 1, **values})


def test_a_teacher_of_other_features(planted, own_planted):
    from helpers.planted import write_planted

    run_quick("DecCM", planted, **FAST)
    write_planted(Path("other"), visual=5)
    with pytest.raises(CheckpointError, match=r"expected a teacher of 5 visual dimensions.*found 12"):
        run_quick("DecCM", Path("other"), teacher=str(cached()[0]))


def test_a_checkpoint_of_another_model_is_no_teacher(planted):
    trained, _ = run_config(make_config("BPR", planted, epochs=1))
    with pytest.raises(CheckpointError, match=r"expected a teacher .*found a checkpoint of BPR"):
        run_quick("DecCM", planted, teacher=trained.trainer.saved_model_file)


def test_bad_teacher_config(planted):
    with pytest.raises(ConfigError, match="teacher_config: expected keys and values"):
        run_quick("DecCM", planted, teacher_config="fast")
    with pytest.raises(ConfigError, match="found 'epoch'"):
        run_quick("DecCM", planted, teacher_config={"epoch": 3})


def test_of_two_runs_at_once_one_trains_the_teacher_and_the_other_waits(planted):
    """Threads stand for processes: the lock is taken by file descriptor, so they exclude each other, too."""
    trained, at_work = [], threading.Event()

    def slow(config):
        trained.append(config["dataset"])
        at_work.set()
        time.sleep(0.3)
        return fit(config)

    config = make_config("DecCM", planted, **FAST, teacher_dir="shared")
    first = threading.Thread(target=teacher.find, args=(config, slow))
    first.start()
    assert at_work.wait(10)
    path = teacher.find(config, slow)
    assert path.is_file() and path.parent == Path("shared") and trained == ["planted-pgc"]
    first.join()


DISTILLED = {"distillation_weight": 2.0, "teacher_weight": 0.0}


def agreement(model) -> float:
    """How alike student and teacher rank 300 videos of the planted data: mean correlation of their scores."""
    with torch.no_grad():
        own = [model.eval().posteriors(name).mean[1:] for name in ("visual", "acoustic")]
    scores = [video[:300] @ music.T for video, music in (own, [q.mean[1:] for q in model.teacher.of_all()])]
    standard = [(s - s.mean(1, keepdim=True)) / s.std(1, keepdim=True) for s in scores]
    return (standard[0] * standard[1]).mean().item()


def test_distillation_brings_the_students_rankings_to_the_teachers(planted):
    values = {**FAST, "epochs": 8, "matching": "softmax", "backdoor": "none"}
    without, distilled = (
        fit(make_config("DecCM", planted, **values, teacher_weight=0.0, distillation_weight=weight))
        for weight in (0.0, 2.0)
    )
    assert without.model.professional is None
    assert agreement(distilled.model) > agreement(without.model) + 0.05


def test_a_distilled_run_resumes_bit_by_bit(planted):
    values = {**FAST, **DISTILLED, "stopping_step": 9}
    whole = fit(make_config("DecCMPlus", planted, **{**values, "epochs": 3}, checkpoint_dir="whole"))
    fit(make_config("DecCMPlus", planted, **values, checkpoint_dir="cut"))
    (path,) = Path("cut").glob("DecCMPlus*.pth")
    resumed = fit(
        make_config("DecCMPlus", planted, **{**values, "epochs": 3}, checkpoint_dir="cut", checkpoint=str(path))
    )
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name


def test_distillation_by_path_needs_the_professional_pairs(own_planted):
    run_quick("DecCM", own_planted, **FAST)
    path = str(cached()[0])
    shutil.rmtree(own_planted / "planted-pgc")
    run_quick("DecCM", own_planted, teacher=path, epochs=1)
    with pytest.raises(ConfigError, match=r"distillation_weight: expected 0, or professional pairs in .*planted-pgc"):
        run_quick("DecCM", own_planted, teacher=path, epochs=1, **DISTILLED)


def test_distillation_of_professional_pairs_with_other_features(planted):
    from helpers.planted import write_planted

    run_quick("DecCM", planted, **FAST)
    write_planted(Path("other"))
    shutil.rmtree("other/planted-pgc")
    write_planted(Path("wide"), visual=5)
    shutil.copytree("wide/planted-pgc", "other/planted-pgc")
    with pytest.raises(CheckpointError, match=r"planted-pgc: expected 12 visual dimensions.*found 5"):
        run_quick("DecCM", Path("other"), teacher=str(cached()[0]), epochs=1, **DISTILLED)
