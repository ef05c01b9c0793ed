import json
import subprocess
import sys
from pathlib import Path

import pytest

from intently.cli import doctor
from intently.errors import ConfigError


def test_it_runs_and_loads_no_torch() -> None:
    code = (
        "import sys; sys.argv = ['intently', 'doctor', '--json']\n"
        "from intently.cli import main\n"
        "try: main()\n"
        "except SystemExit as stop: sys.stderr.write(f'exit {stop.code} ')\n"
        "sys.stderr.write(str(sorted({'torch', 'transformers', 'lightgbm'} & set(sys.modules))))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    told = json.loads(done.stdout)
    assert done.stderr.endswith("[]"), done.stderr
    assert ("exit 0" in done.stderr) == told["well"]
    assert told["language_model"]["sha256"] == "right"
    assert told["versions"]["torch"]
    assert told["machine"]["memory_gigabytes"] >= told["machine"]["available_gigabytes"] > 0
    for extra in told["extras"].values():
        assert extra["install"].startswith('pip install "intently[')


def test_a_wrong_model_is_a_fault_that_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(_name: str) -> str:
        raise ConfigError("sha256 differs.", mend="pip install it again")

    monkeypatch.setattr("intently.text.language_model.locate", wrong)
    model, faults = doctor._model()
    assert model["folder"] is None
    assert [fault.required for fault in faults] == [True]
    assert faults[0].mend == "pip install it again"


class About:
    def __init__(self, *needs: str) -> None:
        self.needs = list(needs)

    def get_all(self, key: str) -> list[str]:
        return ["sql"] if key == "Provides-Extra" else self.needs


def test_missing_packages_are_named_with_their_line(monkeypatch: pytest.MonkeyPatch) -> None:
    needs = ("polars>=99", "not-there-at-all>=1", "numpy>=1", 'also-not-there>=2; extra == "sql"')
    monkeypatch.setattr("importlib.metadata.metadata", lambda _name: About(*needs))
    extras, faults = doctor._packages()
    assert extras == {"sql": {"missing": ["also-not-there"], "install": 'pip install "intently[sql]"'}}
    assert [fault.required for fault in faults] == [True, True]
    assert "polars" in faults[0].problem
    assert "needed" in faults[0].problem
    assert faults[1].mend == 'pip install "not-there-at-all>=1"'


CALM = {
    "usable_cores": 4.0, "load": 0.1, "threads": {"OMP_NUM_THREADS": None}, "features": ["avx512_bf16"],
    "available_gigabytes": 20.0, "cache": "cache", "cache_writable": True, "disk_free_gigabytes": 50.0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"load": 3.0}, "--threads 1"),
        ({"threads": {"OMP_NUM_THREADS": "16"}}, "Set it to 4"),
        ({"features": []}, "half the speed"),
        ({"available_gigabytes": 1.0}, "shorter log"),
        ({"disk_free_gigabytes": 0.1}, "INTENTLY_CACHE"),
        ({"cache_writable": False}, "INTENTLY_CACHE"),
    ],
)
def test_each_note_has_its_cause(change: dict, says: str) -> None:
    assert doctor._slow(CALM) == []
    (fault,) = doctor._slow(CALM | change)
    assert says in fault.mend
    assert not fault.required


def test_a_machine_that_does_not_say_is_no_fault(tmp_path: Path) -> None:
    assert doctor._slow(CALM | {"features": None}) == []
    assert doctor._number(tmp_path / "nothing") is None
