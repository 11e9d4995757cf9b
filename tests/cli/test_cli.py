"""The commands as a user types them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.released_layout import write_released

from recbole_decm.cli.main import COMMANDS, main
from recbole_decm.cli.run import run_main

PROJECT = Path(__file__).resolve().parents[2]
QUICK = ["--epochs=1", "--show_progress=False", "--state=ERROR"]


def test_the_script_runs_from_another_folder(planted):
    command = [sys.executable, str(PROJECT / "run_recbole.py"), "--model=CMVAE", "--dataset=planted", *QUICK]
    done = subprocess.run([*command, f"--data_path={planted}", "--result_file=r.json"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(Path("r.json").read_text())["test"]["recall@10"] > 0
    failed = subprocess.run([*command, f"--data_path={planted}", "--margim=0.1"], capture_output=True, text=True)
    assert failed.returncode == 2 and "Did you mean 'margin'?" in failed.stderr and "Traceback" not in failed.stderr


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_has_help(name, capsys):
    assert main([name, "--help"]) == 0
    assert "--" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model=Decm"], "Did you mean 'DecCM'?"),
        (["--dataset=simm"], "Did you mean 'sim'?"),
        (["--teacher_wieght=1"], "Did you mean 'teacher_weight'?"),
        (["--config_files=nowhere.yaml"], "nowhere.yaml: expected a YAML file"),
        (["--epochs", "3"], "expected arguments of the form --key=value, found '--epochs'"),
        (["--metrics=['Recal']"], "Did you mean 'recall'?"),
        (["--checkpoint=nowhere.pth", "--model=CMVAE"], "nowhere.pth: expected a checkpoint, found no file"),
        (["--topk=[700]", "--valid_metric=NDCG@700"], "topk: expected at most 600"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(arguments, message, capsys, tmp_path):
    assert run_main(["--state=ERROR", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not list(tmp_path.rglob("*.pth"))


def test_debug_shows_the_traceback():
    from recbole_decm.errors import ConfigError

    with pytest.raises(ConfigError):
        run_main(["--model=Decm", "--debug"])


def test_config_files_may_name_model_and_data_set(planted, capsys):
    Path("job.yaml").write_text(f"model: CMVAE\ndataset: planted\ndata_path: {planted}\nepochs: 1\n")
    assert run_main(["--config_files=job.yaml", "--show_progress=False", "--result_file=r.json"]) == 0
    assert json.loads(Path("r.json").read_text())["model"] == "CMVAE"


def test_simulate_train_and_evaluate(capsys):
    sizes = ["--videos=200", "--music=30", "--visual-dim=8", "--acoustic-dim=6", "--pgc-videos=60"]
    assert main(["simulate", "--out=data", "--name=tiny", *sizes]) == 0
    assert "recbole-decm run --model=DecCM --dataset=tiny --data_path=data" in capsys.readouterr().out
    fast = ["--teacher_config={'epochs': 1}", *QUICK, "--result_file=r.json"]
    assert main(["run", "--model=DecCM", "--dataset=tiny", "--data_path=data", *fast]) == 0
    written = json.loads(Path("r.json").read_text())
    capsys.readouterr()
    assert main(["evaluate", written["checkpoint"], "--state=ERROR"]) == 0
    shown = capsys.readouterr().out
    assert f"recall@10 {written['test']['recall@10']:.4f}" in shown and shown.startswith("valid ")


def test_import_and_train(tmp_path, capsys):
    ugc, pgc = write_released(tmp_path / "released")
    assert main(["import-released", f"--ugc={ugc}", f"--pgc={pgc}", "--name=rel", "--out=data"]) == 0
    fast = ["--teacher_config={'epochs': 1, 'train_batch_size': 16}", "--train_batch_size=16", *QUICK]
    assert main(["run", "--model=DecCM", "--dataset=rel", "--data_path=data", *fast]) == 0
    assert main(["import-released", f"--ugc={ugc}", f"--pgc={pgc}", "--name=rel", "--out=data"]) == 2
    assert "add --overwrite" in capsys.readouterr().err


def test_compare_prints_one_table(planted, capsys):
    arguments = ["--models=CMVAE,Pop", "--dataset=planted", "--seeds=1,2", f"--data_path={planted}", "--epochs=2"]
    assert main(["compare", *arguments, "--margin=0.1"]) == 0  # margin is CMVAE's alone
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "planted, test, seeds 1, 2" and lines[1].split()[:2] == ["model", "seconds"]
    assert lines[3].startswith("CMVAE") and "±" in lines[3] and lines[4].startswith("Pop")


def test_compare_goes_on_after_a_model_that_fails(planted, capsys):
    """The others' numbers are those of a comparison without it."""
    same = ["compare", "--dataset=planted", f"--data_path={planted}", "--epochs=1"]
    same += ["--learning_rate=1e30", "--train_batch_size=64"]
    assert main([*same, "--models=Pop"]) == 0
    alone = capsys.readouterr().out.splitlines()[3].split()
    assert main([*same, "--models=CMVAE,Pop"]) == 1
    shown = capsys.readouterr()
    assert "failed: CMVAE, seed 2020: training loss: expected a number, found nan" in shown.err
    assert "Traceback" not in shown.err
    lines = shown.out.splitlines()
    assert lines[3].split() == ["CMVAE", "(1", "failed)"] and lines[4].split()[2:] == alone[2:]
    assert lines[-1].startswith("2 runs in ") and lines[-1].endswith(", 1 failed")


def test_compare_writes_the_result_file_of_a_run(planted, capsys):
    arguments = ["--models=CMVAE", "--dataset=planted", f"--data_path={planted}", "--epochs=1", "--topk=[10]"]
    assert main(["compare", *arguments, "--result_file=r.json"]) == 0
    found = json.loads(Path("r.json").read_text())
    assert f"{found['test']['recall@10']:.4f}" == capsys.readouterr().out.splitlines()[3].split()[3]
    assert found["valid"]["ndcg@10"] > 0 and Path(found["checkpoint"]).is_file()


def test_compare_of_models_that_choose_no_epoch(planted, capsys):
    arguments = ["--models=CMVAE", "--dataset=planted", "--seeds=1,2", f"--data_path={planted}", "--epochs=2"]
    assert main(["compare", *arguments, "--eval_step=0"]) == 0
    head, _, cells = (line.split() for line in capsys.readouterr().out.splitlines()[1:4])
    assert "valid:ndcg@10" in head and len(cells) == 1 + 1 + 3 * (
        len(head) - 3
    )  # seconds, and mean ± spread of the test's


def test_compare_reads_config_files(planted, tmp_path, capsys):
    """As --config_files of a run: below the command line, above the model's YAML."""
    file = tmp_path / "a.yaml"
    file.write_text("epochs: 1\nlearning_rate: 0.0001\n")
    same = ["compare", "--models=CMVAE", "--dataset=planted", f"--data_path={planted}", "--topk=[10]"]

    def scores(*more):
        assert main([*same, *more]) == 0
        return capsys.readouterr().out.splitlines()[3].split()[2:]

    assert scores(f"--config_files={file}") == scores("--epochs=1", "--learning_rate=0.0001")
    assert scores(f"--config_files={file}", "--learning_rate=0.01") == scores("--epochs=1", "--learning_rate=0.01")
    assert main([*same, f"--config_files={tmp_path / 'none.yaml'}"]) == 2


def test_evaluate_puts_config_files_above_the_checkpoint(planted, tmp_path, capsys):
    values = ["--model=CMVAE", "--dataset=planted", f"--data_path={planted}", "--epochs=1", "--topk=[10]"]
    assert main(["run", *values, "--checkpoint_dir=ck"]) == 0
    (checkpoint,) = Path("ck").glob("*.pth")
    (tmp_path / "k.yaml").write_text("topk: [3, 10]\n")
    capsys.readouterr()
    assert main(["evaluate", str(checkpoint), f"--config_files={tmp_path / 'k.yaml'}"]) == 0
    out = capsys.readouterr().out
    assert "recall@3" in out and "recall@10" in out


def test_compare_refuses_a_key_that_no_model_knows(planted, capsys):
    assert main(["compare", "--models=CMVAE,Pop", "--dataset=planted", f"--data_path={planted}", "--margim=1"]) == 2
    assert "margim" in capsys.readouterr().err


def test_an_unknown_command_is_named(capsys):
    assert main(["trian"]) == 2
    assert "trian" in capsys.readouterr().err
