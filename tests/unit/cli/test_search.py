"""What `intently search` prints is TOML that says the same again."""

import tomllib

from intently.cli.search import in_toml


def test_every_kind_of_setting_is_read_back_as_it_was() -> None:
    told = {
        "few_labels": "prompt",
        "prompt": 'It is "about" {word} 关于.',
        "words": {"other": "thing", "two words": "包裹"},
        "name_labels": True,
        "epochs": 3,
        "rate": 1e-05,
    }
    printed = "\n".join(f"{name} = {in_toml(value)}" for name, value in told.items())
    assert tomllib.loads(printed) == told
