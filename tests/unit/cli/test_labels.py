"""What a person is told of the labels that they gave."""

from intently.cli.labels import say_used


def test_every_label_is_accounted_for(capsys) -> None:
    say_used("support", {"used": 1200, "overruled": 3, "out_of_range": 4})
    said = capsys.readouterr().out
    assert said == (
        "support: 1,200 labels by hand were used, 3 were overruled by the log, "
        "and 4 are of events before or after those learned from.\n"
    )
