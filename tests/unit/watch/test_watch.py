"""Alert rules: the file for Prometheus, and the same judged by ourselves."""

from __future__ import annotations

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

import intently.watch
from intently.cli.app import app
from intently.cli.watch import look, tell
from intently.serve.monitor import Monitor
from intently.watch.alerts import Alert, Alerts
from intently.watch.rules import RULES, prometheus
from intently.watch.samples import Sample, increase, quantile

FILE = Path(intently.watch.__file__).with_name("rules.yml")


def sample(at: float, monitor: Monitor) -> Sample:
    return Sample.read(at, monitor.text().decode())


def well() -> Monitor:
    monitor = Monitor()
    monitor.state_up.set(1)
    monitor.lag.set(1)
    return monitor


def test_the_file_for_prometheus_is_the_rules() -> None:
    yaml = pytest.importorskip("yaml")
    assert FILE.read_text() == prometheus(), "write it anew: intently watch --rules > src/intently/watch/rules.yml"
    told = yaml.safe_load(FILE.read_text())["groups"][0]["rules"]
    assert [rule["alert"] for rule in told] == [rule.name for rule in RULES]
    assert all({"expr", "for", "labels", "annotations"} <= set(rule) for rule in told)


def test_every_metric_of_a_rule_is_one_that_the_service_has() -> None:
    import re

    text = Monitor().text().decode()
    for rule in RULES:
        for name in re.findall(r"intently_\w+", rule.promql):
            base = re.sub(r"_(count|bucket|total)$", "", name)
            assert base in text, name


def test_an_alert_fires_once_when_it_has_held_and_is_resolved_once() -> None:
    alerts, monitor = Alerts(), well()
    assert alerts.judge(sample(0, monitor)) == []
    monitor.state_up.set(0)
    told = [(at, one.rule.name, one.firing) for at in range(10, 100, 10) for one in alerts.judge(sample(at, monitor))]
    assert told == [(40, "IntentlyStateAway", True)]
    monitor.state_up.set(1)
    told = [(at, one.rule.name, one.firing) for at in (100, 110) for one in alerts.judge(sample(at, monitor))]
    assert told == [(100, "IntentlyStateAway", False)]


def test_a_short_break_begins_the_wait_anew() -> None:
    alerts, monitor = Alerts(), well()
    for at in range(0, 300, 10):
        monitor.state_up.set(0 if at % 30 else 1)
        assert alerts.judge(sample(at, monitor)) == []


def test_failing_requests_and_slow_ones_are_noticed_by_their_share_of_the_last_minutes() -> None:
    alerts, monitor = Alerts(), well()
    route = "/v1/users/{user_id}/scores"
    for _ in range(10_000):
        monitor.latency.labels(route, "500").observe(5.0)
    fired = set()
    for at in range(0, 900, 15):
        for number in range(100):
            monitor.latency.labels(route, "500" if number < 2 else "200").observe(0.2 if number < 3 else 0.004)
        fired |= {one.rule.name for one in alerts.judge(sample(at, monitor)) if one.firing}
    assert fired == {"IntentlyErrors", "IntentlySlow"}


def test_a_service_that_is_down_is_noticed() -> None:
    alerts = Alerts()
    told = [(at, one.rule.name) for at in range(0, 90, 15) for one in alerts.judge(Sample(at, up=False))]
    assert told == [(60, "IntentlyDown")]


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"


@pytest.mark.parametrize(
    "said",
    [HEAD % 99 + b"# TYPE intent", b"no HTTP\r\n\r\n", HEAD % 5 + b'a{b="', HEAD % 1 + b"\xff"],
)  # fmt: skip
def test_a_service_that_dies_in_the_middle_of_an_answer_is_down_and_the_watching_goes_on(said, capsys) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            for _ in range(2):
                connection = listening.accept()[0]
                connection.recv(9_999)
                connection.sendall(said)
                connection.close()

        threading.Thread(target=answer, daemon=True).start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        assert not look(url, "a-key").up
        tell(url, Alert(RULES[0], True, 1.0, 0.0))
    assert capsys.readouterr().err.count("Traceback") == 0


def test_quantiles_and_increases_are_those_of_the_counts() -> None:
    monitor = Monitor()
    before = sample(0, monitor)
    for number in range(1000):
        monitor.latency.labels("/v1/users/x", "200").observe(0.0015 if number < 990 else 0.04)
    now = sample(1, monitor)
    assert quantile(before, now, "intently_request_seconds", 0.5) == pytest.approx(0.0015, abs=0.0003)
    assert 0.03 < quantile(before, now, "intently_request_seconds", 0.999) <= 0.05
    assert quantile(now, now, "intently_request_seconds", 0.5) is None
    assert increase(before, now, "intently_request_seconds_count") == 1000
    assert increase(now, before, "intently_request_seconds_count") == 0


def test_the_command_tells_a_webhook() -> None:
    heard: list[dict] = []
    monitor = well()
    monitor.lag.set(9999)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert self.headers["Authorization"] == "Bearer a-key"
            self._answer(monitor.text())

        def do_POST(self) -> None:
            heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self._answer(b"")

        def _answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    words = ["watch", url, "--webhook", url + "/hook", "--every", "0.1", "--looks", "3"]
    done = CliRunner().invoke(app, words, env={"INTENTLY_KEY": "a-key"})
    server.shutdown()
    server.server_close()
    assert done.exit_code == 0, done.output
    assert [(one["alert"], one["status"]) for one in heard] == [("IntentlyNoEvents", "firing")]
    assert json.loads(done.stdout.splitlines()[0]) == heard[0]
