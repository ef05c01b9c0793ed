"""Losses recorded by one word: where it is written, and what is refused."""

from importlib.util import find_spec

import pytest
import torch

from intently.contract import Past
from intently.errors import ConfigError
from intently.learn import track
from intently.learn.text_finetune import TextRecipe
from intently.learn.text_reader import TextReader
from intently.learn.track import Tracker, recorded
from intently.text.story import Teller
from small_logs import day
from text_shop import TASK, shop
from tiny_models import encoder

needs = {tool: pytest.mark.skipif(find_spec(tool) is None, reason=f"{tool} is not installed") for tool in track.TOOLS}


def test_a_word_or_a_word_and_a_place(monkeypatch):
    monkeypatch.setattr(track, "find_spec", lambda _: object())
    assert Tracker.of("mlflow") == Tracker("mlflow")
    assert Tracker.of("mlflow=https://tracker.example/a=b") == Tracker("mlflow", "https://tracker.example/a=b")
    assert Tracker.of("wandb=shop").place == "shop"
    assert "on this machine" in Tracker.of("wandb").place
    with pytest.raises(ConfigError, match="no tracker 'mlfow'"):
        Tracker.of("mlfow")
    with pytest.raises(ConfigError, match="names no place"):
        Tracker.of("mlflow=")


def test_a_tool_that_is_missing_is_named_with_its_mend(monkeypatch):
    monkeypatch.setattr(track, "find_spec", lambda _: None)
    for tool in track.TOOLS:
        with pytest.raises(ConfigError, match=r"pip install 'intently\[track\]'"):
            Tracker.of(tool)


def test_nothing_is_recorded_without_one():
    with recorded(None, "a run") as (callbacks, told):
        assert (callbacks, told) == ([], {})


def trained(folder, tracker, method="full"):
    log = shop(60)
    examples = TASK.examples(log, [day(7 * week) for week in range(1, 11)])
    recipe = TextRecipe(epochs=3, fewest_steps=0, batch_size=16, max_tokens=24, held_out=0.0)
    reader = TextReader(model=encoder(folder / "model"), method=method, recipe=recipe, teller=Teller(last=0))
    fitted = TextReader(**{**vars(reader), "tracker": tracker}).fit(examples, Past(log, examples))
    return fitted, reader.fit(examples, Past(log, examples))


@needs["mlflow"]
@pytest.mark.filterwarnings("ignore")
def test_mlflow_writes_a_file_here_whatever_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with_it, without = trained(tmp_path, Tracker.of("mlflow"))
    import mlflow

    (run,) = mlflow.search_runs(experiment_names=["intently"], output_format="list")
    assert run.info.run_name == "fine-tuning on words"
    assert run.info.status == "FINISHED"
    client = mlflow.MlflowClient()
    assert len(client.get_metric_history(run.info.run_id, "loss")) == 3
    assert (tmp_path / "mlflow.db").is_file()
    # Recording changes nothing of what is learned.
    weights = zip(with_it.network.parameters(), without.network.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in weights)


def test_a_head_that_is_trained_alone_tells_its_losses(tmp_path, monkeypatch):
    told = {}
    monkeypatch.setattr(Tracker, "curve", lambda self, run, losses: told.update({run: tuple(losses)}))
    with_it, without = trained(tmp_path, Tracker("mlflow"), "frozen")
    (losses,) = told.values()
    assert list(told) == ["training the head"]
    assert losses[0] > losses[-1]
    assert losses[-1:] == with_it.losses == without.losses


@needs["mlflow"]
@pytest.mark.filterwarnings("ignore")
def test_a_head_that_is_trained_alone_is_recorded_step_by_step(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fitted, without = trained(tmp_path, Tracker.of("mlflow"), "frozen")
    import mlflow

    (run,) = mlflow.search_runs(experiment_names=["intently"], output_format="list")
    assert run.info.run_name == "training the head"
    assert run.info.status == "FINISHED"
    told = [one.value for one in mlflow.MlflowClient().get_metric_history(run.info.run_id, "loss")]
    assert len(told) > 3
    assert told[0] > told[-1]
    assert (told[-1],) == fitted.losses == without.losses


@needs["tensorboard"]
@pytest.mark.filterwarnings("ignore")
def test_a_head_is_recorded_by_tensorboard_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trained(tmp_path, Tracker.of("tensorboard"), "frozen")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "runs" / "training_the_head")).Reload()
    told = [one.value for one in events.Scalars("train/loss")]
    assert told[0] > told[-1]


@needs["tensorboard"]
@pytest.mark.filterwarnings("ignore")
def test_tensorboard_writes_a_folder_for_each_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trained(tmp_path, Tracker.of("tensorboard"))
    assert len(list((tmp_path / "runs" / "fine-tuning_on_words").glob("events.*"))) == 1
    trained(tmp_path, Tracker.of("tensorboard=elsewhere"))
    assert (tmp_path / "elsewhere" / "fine-tuning_on_words").is_dir()


def test_every_run_has_a_folder_of_its_own(tmp_path):
    names = []
    for _ in range(3):
        folder = track._unused(tmp_path / "a_run")
        folder.mkdir()
        names.append(folder.name)
    assert names == ["a_run", "a_run_2", "a_run_3"]


@needs["wandb"]
@pytest.mark.filterwarnings("ignore")
def test_wandb_stays_on_this_machine(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "online")
    trained(tmp_path, Tracker.of("wandb"))
    assert len(list((tmp_path / "wandb").glob("offline-run-*"))) == 1
    trained(tmp_path, Tracker.of("wandb"), "frozen")
    assert len(list((tmp_path / "wandb").glob("offline-run-*"))) == 2
