"""intently.toml: read, refused with lines, found, and saved without its passwords."""

from pathlib import Path

import pytest

from intently import config
from intently.errors import ConfigError
from intently.toml import line_of
from own_tables import OWN_TABLES, OWN_TOML

BAD = """\
[train]
prest = "fast"
threads = "two"

[[tasks]]
name = "tea"
horizon = "14d"
answer = "yes_no"
truth = '''
bool_or(category = 'tea')
  or summ(amount) > 3'''
wording.en = "Tea?"

[[tasks]]
name = "demand"
horizn = "7d"
answer = "yes_no"
truth = "count(*) > 1"
[tasks.wording]
en = 3

[tsks]
"""


def written(folder: Path, text: str) -> Path:
    file = folder / "intently.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_every_fault_is_told_at_once_with_its_line(tmp_path):
    with pytest.raises(ConfigError) as caught:
        config.read(written(tmp_path, BAD), taken=["demand"])
    told = str(caught.value)
    for part in (
        "line 2, train.prest: there is no such key; did you mean 'preset'?",
        "line 3, train.threads: 'two' is not a whole number",
        "line 9, tasks[1].truth: there is no function summ; did you mean sum?",
        "line 14, tasks[2].horizon: the key is missing",
        "line 15, tasks[2].name: 'demand' is the name of another question",
        "line 16, tasks[2].horizn: there is no such key; did you mean 'horizon'?",
        "line 20, tasks[2].wording.en: 3 is not text",
        "line 22, tsks: there is no such key; did you mean 'tasks'?",
    ):
        assert part in told
    assert told.startswith("8 faults:")


def test_a_whole_config(tmp_path):
    head = "[data]\nevents = 'orders.csv'\n[data.columns]\namount = 'a * b'\n[protect]\nmask = true\n"
    found = config.read(written(tmp_path, head + "[train]\nuntil = 2024-03-04\nseed = 3\n" + OWN_TOML))
    assert found.data == {"events": "orders.csv", "columns": {"amount": "a * b"}}
    assert found.protect == {"mask": True}
    assert found.train.until == "2024-03-04"
    assert [task.name for task in found.tasks] == list(OWN_TABLES)


def test_what_the_command_line_says_wins():
    train = config.Training(preset="best", seed=3).over(preset="fast", seed=None, threads=1)
    assert (train.preset, train.seed, train.threads) == ("fast", 3, 1)
    # A zero is said, not left out.
    assert train.over(seed=0).seed == 0


def test_the_resolved_config_holds_no_password():
    found = config.Config(data={"events": "postgresql://me:s3cret@host/shop", "columns": {"a": "b"}})
    told = found.resolved(config.Training(until="2024-03-04", tasks=("demand",)))
    assert told["data"] == {"events": "postgresql://me:***@host/shop", "columns": {"a": "b"}}
    assert told["train"] == {"until": "2024-03-04", "tasks": ["demand"]}


def test_a_data_folders_own_config_is_found(tmp_path):
    assert config.find(tmp_path, None) is None
    file = written(tmp_path, "")
    assert config.find(tmp_path, None) == file
    assert config.find(tmp_path, Path("other.toml")) == Path("other.toml")
    assert config.find(file, None) == file


def test_no_file_and_no_toml_are_one_sentence(tmp_path):
    with pytest.raises(ConfigError, match="There is no file"):
        config.read(tmp_path / "intently.toml")
    with pytest.raises(ConfigError, match="line 2, column 9"):
        config.read(written(tmp_path, "[train]\nuntil = tomorrow\n"))


def test_a_name_twice_is_refused(tmp_path):
    one = OWN_TOML.split("[[tasks]]")[1]
    with pytest.raises(ConfigError, match="is there twice"):
        config.read(written(tmp_path, f"[[tasks]]{one}[[tasks]]{one}"))


def test_tasks_that_are_no_tables_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="tasks: 3 is not a list"):
        config.read(written(tmp_path, "tasks = 3"))


@pytest.mark.parametrize(
    ("key", "line"),
    [(("train", "preset"), 2), (("train", "nothing"), 1), (("tasks", 1, "answer", "one_of"), 7), (("nowhere",), None)],
)
def test_the_line_of_a_key_or_of_the_table_around_it(key, line):
    text = "[train]\npreset = 'x'\n[[tasks]]\nname = 'a'\n[[tasks]] # two\nname = 'b'\nanswer.one_of = [\n ['a'],\n]\n"
    assert line_of(text, key) == line


@pytest.mark.parametrize(
    "text", ['[data]\nevents = "nowhere.csv"\n', "[protect]\nhash_ids = true\n", '[rules]\nonly = "price < 9"\n']
)
@pytest.mark.parametrize("data", ["shop", "shop/events.csv", "sqlite:///shop.db"])
def test_how_data_is_read_is_said_beside_it_and_nowhere_else(tmp_path, monkeypatch, text, data):
    monkeypatch.chdir(tmp_path)
    Path("shop").mkdir()
    written(Path("shop"), "[train]\nseed = 3\n")
    other = Path("other.toml")
    other.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"^other.toml: \[(data|protect|rules)\] would not hold"):
        config.with_data(data, other)
    # A file that is the data, or lies beside it, is read with it.
    assert config.with_data(other, other) == config.read(other)
    own = written(Path("shop"), text)
    assert config.with_data("shop", tmp_path / own) == config.read(tmp_path / own)


def test_what_is_saved_of_the_data_is_what_it_was_read_by(tmp_path):
    own = written(tmp_path, '[data]\nevents = "mine.csv"\n[protect]\nhash_ids = true\n[train]\nseed = 3\n')
    other = tmp_path / "other.toml"
    other.write_text("[train]\nseed = 4\n", encoding="utf-8")
    for data in (tmp_path, own):
        told = config.with_data(data, other).resolved(config.Training())
        assert told == {"train": {}, "data": {"events": "mine.csv"}, "protect": {"hash_ids": True}}
    assert config.with_data(tmp_path, other).train.seed == 4
