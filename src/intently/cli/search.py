"""`intently search`: which method and settings answer a question about events best, looked for with Optuna."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from intently.cli import console

if TYPE_CHECKING:
    from intently.learn.text_plan import TextPlan

# What every trial has of its own.
DRAWN = ("rate", "epochs", "rank", "smoothing")
EXAMPLE = "Example: intently search --data shop/ --task support --until 2024-06-01 --minutes 30 --study support.study"


def command(
    data: console.DATA,
    task: Annotated[str, typer.Option("--task", help="A question about events, by name.")],
    until: console.UNTIL = None,
    minutes: Annotated[
        float | None, typer.Option("--minutes", min=0.0, help="Begin no trial after so long (no bound).")
    ] = None,
    trials: Annotated[int, typer.Option("--trials", min=1, help="So many in all, with those of the study.")] = 20,
    study: Annotated[
        Path | None, typer.Option("--study", help="File that keeps what was tried; the search goes on from it.")
    ] = None,
    methods: Annotated[str | None, typer.Option("--methods", help="Methods to try: a,b (all, without it).")] = None,
    text: console.TEXT = None,
    preset: console.PRESET = None,
    model: console.MODEL = None,
    threads: console.TRAIN_THREADS = None,
    seed: console.TRAIN_SEED = None,
    config: console.CONFIG = None,
    track: console.TRACK = None,
    as_json: console.JSON = False,
) -> None:
    """Look for the method and the settings that answer the newest quarter of the examples best.

    Each trial learns from a quarter, a half and all of the earlier examples; one that is behind is given up early.
    What is found is printed as lines for intently.toml, which `intently train` reads. With the same --until, the
    validation that train shows is of weeks by which the settings were found, and so too good: search with an earlier
    one, or judge on later weeks.
    """
    from intently.contract import EachEvent
    from intently.errors import ConfigError
    from intently.log.log import Log, moment

    found = console.config_of(data, config)
    wanted = found.train.over(until=until, preset=preset, model=model, threads=threads, seed=seed)
    (question,) = console.chosen_tasks((task,), found.tasks)
    if not isinstance(question.asks, EachEvent):
        raise ConfigError(f"{task} is not asked about events.", mend="Search for one such as sentiment or support.")
    if wanted.until is None:
        raise ConfigError("No end of training is given.", mend="Give --until, or `until` in [train] of the config.")
    at, words, tracker = moment(wanted.until), found.text_plan(text or ()), console.tracker_of(track)
    mine = [one.partition("=")[0].strip() for one in text or ()]
    refuse(words, mine)
    tried = ["full"] if methods is None else [name.strip() for name in methods.split(",")]
    # A method that does not go with the settings is a trial that fails; only where there is no other is it refused.
    words.check([question], tried[0] if len(tried) == 1 else "lora", DRAWN)
    known = Log.read(data).before(at)
    # Only now what takes seconds to load: bad input is answered at once.
    from intently.learn.presets import plan_of
    from intently.learn.search import Space, search
    from intently.learn.text_reader import TextReader
    from intently.learn.train import examples_until, in_words
    from intently.text.language_model import PACKAGED

    plan = plan_of(wanted.preset or "fast")
    reader = in_words(
        TextReader(model=wanted.model or PACKAGED, tracker=tracker), question, plan, wanted.seed or 0, words
    )
    if not reader.answers(question):
        raise ConfigError(f"No language model answers {task}.", mend="Search for yes or no, labels or an amount.")
    reader = replace(reader, recipe=replace(reader.recipe, threads=wanted.threads or 2))
    examples, _ = examples_until(question, known, at, plan)
    space = Space() if methods is None else Space(methods=tuple(name.strip() for name in methods.split(",")))
    with console.progress(as_json) as progress:
        best = search(
            reader,
            examples,
            known,
            space=space,
            trials=trials,
            seconds=None if minutes is None else 60 * minutes,
            study=study,
            seed=wanted.seed or 0,
            progress=progress,
        )
    drawn = {name: best.settings[name] for name in best.settings if name != "method"}
    # What changes nothing with the method that was found, train refuses.
    idle = words.idle(best.settings["method"])
    drawn = {name: one for name, one in (words.said().get("text", {}) | drawn).items() if name not in idle}
    if as_json:
        told = {"task": task, "metric": best.metric, "score": best.score, "trials": list(best.trials)}
        console.say_json(told | {"train": {"method": best.settings["method"]}, "text": drawn})
        return
    console.say(f"{best.metric} {best.score:.4f} is the best of {len(best.trials)} whole trials. For intently.toml:")
    console.say(f'\n[train]\nmethod = "{best.settings["method"]}"\n\n[text]')
    for name, value in drawn.items():
        console.say(f"{name} = {in_toml(value)}")


def refuse(words: TextPlan, said: Sequence[str]) -> None:
    """Raise ConfigError for settings that are `said` to a search and that it draws, or makes no use of."""
    from intently.errors import ConfigError

    drawn = [name for name in DRAWN if name in said]
    if drawn:
        raise ConfigError(f"The search itself looks for {', '.join(drawn)}.", mend="Leave that out of --text.")
    if words.members > 1 or words.self_taught:
        raise ConfigError(
            "A search judges single readers that learn from labels, not members or self_taught.",
            mend="Leave that out, and add it to what was found.",
        )


def in_toml(value: Any) -> str:
    """A setting as TOML writes it."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(name)} = {in_toml(one)}" for name, one in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False)
