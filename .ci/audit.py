"""Known faults of the installed packages, by pip-audit, which asks PyPI about each of them.

0: none is known. 1: some are. 2: PyPI could not be asked, so nothing is known; 0 too with --lenient, and said.
"""

from __future__ import annotations

import json
import subprocess
import sys


def main() -> int:
    words = [sys.executable, "-m", "pip_audit", "--local", "--skip-editable", "--format", "json", "--timeout", "15"]
    done = subprocess.run([*words, "--progress-spinner", "off"], capture_output=True, text=True, check=False)
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        why = done.stderr.strip().splitlines() or ["it said nothing"]
        return unknown(f"pip-audit could not ask PyPI ({why[-1][:300]})")
    found = [(one, fault) for one in packages for fault in one.get("vulns", [])]
    for one, fault in found:
        mended = ", ".join(fault.get("fix_versions", [])) or "no version yet"
        print(f"{one['name']} {one['version']}: {fault['id']}, mended in {mended}")
    skipped = [one["name"] for one in packages if "skip_reason" in one]
    looked = len(packages) - len(skipped)
    if not found and looked <= len(skipped):
        # An index that knows no faults answers "not found", of which pip-audit makes "no known vulnerabilities".
        return unknown(f"of {len(packages)} packages the index tells faults of {looked}")
    aside = f"; none is told of {', '.join(skipped)}" if skipped else ""
    print(f"audited {looked} packages: {len(found) or 'no'} known faults{aside}")
    return 1 if found else 0


def unknown(why: str) -> int:
    print(f"NOT AUDITED, nothing is known of the packages' faults: {why}")
    return 0 if "--lenient" in sys.argv else 2


if __name__ == "__main__":
    sys.exit(main())
