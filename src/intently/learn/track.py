"""Where the losses of a training are recorded, by one word: MLflow, TensorBoard or W&B. Nowhere, without it.

Nothing leaves the machine unless a place beyond it is named: MLflow writes a SQLite file, TensorBoard a folder, and W&B
a folder that `wandb sync` may send later.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from itertools import chain, count
from pathlib import Path
from typing import Any, Self

from intently.errors import ConfigError

MLFLOW, TENSORBOARD, WANDB = "mlflow", "tensorboard", "wandb"
TOOLS = (MLFLOW, TENSORBOARD, WANDB)
PROJECT = "intently"


@dataclass(frozen=True)
class Tracker:
    """A tool, and `where` it writes: a URI, a folder or a project; on this machine, where None."""

    tool: str
    where: str | None = None

    @classmethod
    def of(cls, said: str) -> Self:
        """From `mlflow`, `tensorboard` or `wandb`, or `mlflow=URI`, `tensorboard=FOLDER`, `wandb=PROJECT`.

        Raises ConfigError for another word, and where the tool is not installed.
        """
        tool, _, where = said.partition("=")
        if tool not in TOOLS:
            raise ConfigError(f"There is no tracker {tool!r}.", mend=f"Choose one of {', '.join(TOOLS)}.")
        if find_spec(tool) is None:
            raise ConfigError(f"Tracking with {tool} needs it installed.", mend="pip install 'intently[track]'")
        if said.endswith("="):
            raise ConfigError(f"--track {said} names no place.", mend=f"Write --track {tool}, or name one after the =.")
        return cls(tool, where or None)

    @property
    def place(self) -> str:
        """Where it writes, in words."""
        match self.tool, self.where:
            case "mlflow", None:
                return f"mlflow.db: mlflow ui --backend-store-uri {_local()}"
            case "tensorboard", where:
                return f"{where or 'runs'}: tensorboard --logdir {where or 'runs'}"
            case "wandb", None:
                return "wandb/, on this machine alone"
            case _, where:
                return str(where)

    @contextlib.contextmanager
    def recording(self, run: str) -> Iterator[list[Any]]:
        """Callbacks for one training, a run of this name."""
        # It gives no types for its callbacks.
        ours: Any = import_module("transformers.integrations")
        match self.tool:
            case "mlflow":
                os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
                import mlflow

                # Said outright: a variable that somebody set for another work does not send this one anywhere.
                mlflow.set_tracking_uri(self.where or _local())
                mlflow.set_experiment(PROJECT)
                with mlflow.start_run(run_name=run):
                    yield [ours.MLflowCallback()]
            case "tensorboard":
                from torch.utils.tensorboard.writer import SummaryWriter

                writer = SummaryWriter(
                    str(_unused(Path(self.where or "runs") / run.replace(" ", "_").replace(":", "")))
                )
                yield [ours.TensorBoardCallback(writer)]
                writer.close()
            case _:
                import wandb

                mode = "offline" if self.where is None else "online"
                with wandb.init(project=self.where or PROJECT, name=run, mode=mode):
                    yield [ours.WandbCallback()]

    def curve(self, run: str, losses: Sequence[float]) -> None:
        """Record what no Trainer watches, a loss for each step, as a run of this name."""
        with self.recording(run) as (callback,):
            for step, loss in enumerate(losses, start=1):
                match self.tool:
                    case "mlflow":
                        import mlflow

                        mlflow.log_metric("loss", loss, step=step)
                    case "tensorboard":
                        callback.tb_writer.add_scalar("train/loss", loss, step)
                    case _:
                        import wandb

                        wandb.log({"train/loss": loss}, step=step)


@contextlib.contextmanager
def recorded(tracker: Tracker | None, run: str) -> Iterator[tuple[list[Any], dict[str, Any]]]:
    """Callbacks and TrainingArguments by which a training of this name is recorded; none without a tracker."""
    if tracker is None:
        yield [], {}
        return
    with tracker.recording(run) as callbacks:
        yield callbacks, {"logging_strategy": "epoch", "run_name": run}


def _unused(folder: Path) -> Path:
    """The folder, or with the first number that is not taken: each run is a curve of its own."""
    more = (folder.with_name(f"{folder.name}_{number}") for number in count(2))
    return next(one for one in chain([folder], more) if not one.exists())


def _local() -> str:
    return f"sqlite:///{Path('mlflow.db').absolute()}"
