"""Another shop, with no hand: Online Retail from `init` to a report with the generated config alone.

    INTENTLY_DATA=... .venv/bin/python bench/online_retail.py [FOLDER]

Runs the commands as a person would, in a folder of their own, and adds the reading of the five weekly cut-offs from
2011-08-01 on to bench/results/online_retail.jsonl.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

READINGS = Path(__file__).parent / "results" / "online_retail.jsonl"


def main() -> None:
    file = Path(os.environ.get("INTENTLY_DATA", "")) / "online_retail.parquet"
    if not file.is_file():
        print("INTENTLY_DATA does not say where online_retail.parquet lies: nothing is run.")
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(sys.argv[1] if len(sys.argv) > 1 else scratch).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        # Named as somebody would in that folder: a reading tells the command it was made by.
        shutil.copy(READINGS, folder)
        begun = time.perf_counter()
        for said in (
            ("init", file.resolve(), "--out", "intently.toml"),
            ("train", "--data", "intently.toml", "--until", "2011-08-01", "--out", "bundle"),
            (
                "evaluate",
                "bundle",
                "--data",
                "intently.toml",
                "--final",
                "--out",
                "report",
                "--readings",
                READINGS.name,
            ),
        ):
            subprocess.run([sys.executable, "-m", "intently", *map(str, said)], check=True, cwd=folder)
        shutil.copy(folder / READINGS.name, READINGS)
        print(f"{time.perf_counter() - begun:.0f} s from init to report")


if __name__ == "__main__":
    main()
