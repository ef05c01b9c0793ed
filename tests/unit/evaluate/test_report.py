import json
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from io import StringIO

import numpy as np
import polars as pl
import pytest
from rich.console import Console

from intently.contract import Amount, Everyone, Examples, Scores, Task, YesNo
from intently.evaluate.compare import Report, compare
from intently.evaluate.report import _ticks, document, leaderboard, task_entry, write_report

VOID = {"meta", "br", "img", "link", "hr", "input"}


class Reader(HTMLParser):
    """Fails on tags that do not match; keeps texts and outside addresses."""

    def __init__(self):
        super().__init__()
        self.open, self.texts, self.addresses, self.tags = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href") and not value.startswith("#")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def task_report(name, answer, metrics, wording):
    rng = np.random.default_rng(1)
    truth = rng.poisson(1.0, 120).astype(float)
    truth = (truth > 0).astype(float) if isinstance(answer, YesNo) else truth
    task = Task(name, Everyone("user_id"), answer, timedelta(days=7), pl.lit(1), 0, wording, metrics=metrics)
    users = [f"u{i}" for i in range(120)]
    at = [datetime(2024, 1, 1, tzinfo=UTC)] * 120
    examples = Examples(task, pl.DataFrame({"user_id": users, "at": at, "truth": truth}))

    def scores(signal):
        mean = signal * truth + (1 - signal) * rng.random(120)
        values = mean[:, None] if isinstance(answer, YesNo) else np.outer(mean, np.linspace(0.1, 2, 20))
        return Scores(answer, values.astype(np.float32))

    predictions = {"tuned": scores(0.6), "frozen": scores(0.3), "<b>constant</b>": scores(0.0)}
    report = compare(task, examples, predictions, {"short": np.arange(120) < 30}, replicates=50, rng=rng)
    roles = {"served": "tuned", "before": "frozen", "baseline": "<b>constant</b>", "opponent": "<b>constant</b>"}
    return report, task_entry(report, task, examples, predictions, **roles)


@pytest.fixture(scope="module")
def content():
    one, intent = task_report("intent", YesNo(), ("log_loss", "auroc"), {"en": "Buy?", "zh": "会购买吗?"})
    two, spend = task_report("spend", Amount("money"), ("spearman", "coverage_90"), {"en": "How much?"})
    costs = [{"predictor": "tuned", "step": "fit", "wall_seconds": 1.5, "cpu_seconds": 2.0, "peak_megabytes": 300.0}]
    header = {"data": "试验商店 & <sons>", "language model": "none"}
    return document("Report", header, one.join(two), {"intent": intent, "spend": spend}, costs)


@pytest.fixture(scope="module")
def page(content, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_report(json.loads(json.dumps(content, allow_nan=False)), path)
    return path.read_text(encoding="utf-8")


def test_the_page_is_whole_and_asks_nothing_of_the_network(page):
    reader = Reader()
    reader.feed(page)
    assert reader.open == []
    assert reader.addresses == []
    assert "script" not in reader.tags
    assert "url(" not in page
    assert "http:" not in page
    assert "https:" not in page
    assert reader.tags.count("svg") == 4  # a plot for each task, reliability, interval coverage


def test_texts_are_escaped_and_chinese_stays(page):
    assert "<b>constant</b>" not in page
    assert "&lt;b&gt;constant&lt;/b&gt;" in page
    assert "试验商店 &amp; &lt;sons&gt;" in page
    assert "会购买吗?" in page
    assert 'charset="utf-8"' in page


def test_the_page_says_what_the_numbers_say(page, content):
    reader = Reader()
    reader.feed(page)
    text = " ".join(reader.texts)
    for entry in content["tasks"].values():
        assert entry["sentence"] in text
    for row in content["report"]["scores"]:
        if row["slice"] == "all" or row["metric"] == content["report"]["primary"][row["task"]]:
            assert f"{row['value']:.4g}" in text
    assert "best baseline, without the reader" in text
    assert "lower is better" in text
    assert "nearest 0.9 is best" in text


def test_entries_by_kind(content):
    assert sum(row["n"] for row in content["tasks"]["intent"]["reliability"]["tuned"]) == 120
    assert len(content["tasks"]["spend"]["coverage"]["tuned"]) == 9
    assert "coverage" not in content["tasks"]["intent"]


def test_leaderboard_puts_the_best_first(content):
    console = Console(width=160, record=True, file=StringIO())
    console.print(leaderboard(Report.from_json(content["report"])))
    text = console.export_text()
    assert text.index("tuned") < text.index("frozen") < text.index("constant")
    assert "log_loss" in text


def test_ticks_are_round_and_within():
    assert _ticks(0.0, 1.0) == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert _ticks(0.41, 0.455) == [0.41, 0.42, 0.43, 0.44, 0.45]
    assert all(-3 <= tick <= 17 for tick in _ticks(-3, 17))
