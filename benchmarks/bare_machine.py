"""Install gudi on a minimal Debian by the README's words, and compare the faces.

    python benchmarks/bare_machine.py trixie testing [--folder FOLDER] [--tests]

Needs root, debootstrap and a network. For each release, debootstrap makes a minimal system in
FOLDER, without compiler, desktop, Python or home folder. There the script installs Debian's Python
and the libraries that the README names, and runs the README's first command on the commit that is
checked out. The boxes have to be the same as here, and the probabilities within 1e-5. --tests also
runs the compatibility tests, with the packages of the lock and with today's newest. A second run of
the script starts over from the minimal system of the first.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parents[1]
BOX = ("source", "frame", "face", "x", "y", "width", "height", "score", "emotion")

# Nothing stays mounted after the command: its mounts are its own.
INSIDE = """
mount -t proc proc "$0/proc"
mount --bind /dev "$0/dev"
exec chroot "$0" /bin/sh -c 'cd /root/gudi && exec /bin/sh -ec "$0"' "$1"
"""
DESCRIBE = """
cd /
/root/gudi/.venv/bin/python -c '
import sys, cv2, numpy
from gudi.detection import haar
print("Python", sys.version.split()[0], "OpenCV", cv2.__version__, "NumPy", numpy.__version__)
print("search", haar.implementation())
'
"""
LOCK = "-c constraints.txt "
TEST = " && .venv/bin/python -m pytest -m compat"


def readme() -> tuple[str, str, str]:
    """Return the README's apt-get command, its first command, and how to install for tests."""
    text = (HERE / "README.md").read_text("utf-8")
    apt = re.search(r"`(apt-get install [^`]+)`", text)
    first, *_, tests = re.findall(r"```sh\n(python3 .+)\n", text)
    assert apt
    install, _, _ = tests.rpartition(" && ")
    return apt[1].replace("install", "install -y python3-venv"), first, install


def faces(results: Path) -> list[dict[str, str]]:
    with (results / "faces.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def faces_here(record: dict[str, Any]) -> list[dict[str, str]]:
    """Return what this machine finds with the detector of a run record."""
    gudi = os.path.join(os.path.dirname(sys.executable), "gudi")
    with tempfile.TemporaryDirectory() as out:
        line = [gudi, "batch", "data/example", "--out", out, "--no-report", "--no-annotate"]
        line += ["--detector", record["settings"]["detector"]]
        subprocess.run(line, cwd=HERE, check=True, capture_output=True)
        return faces(Path(out))


def megabytes(folder: Path) -> int:
    done = subprocess.run(["du", "-smx", folder], check=True, capture_output=True, text=True)
    return int(done.stdout.split()[0])


def try_release(release: str, folder: Path, tests: bool) -> None:
    minimal, root = folder / f"{release}-minimal", folder / release
    if not minimal.exists():
        command = ["debootstrap", "--variant=minbase", release, str(minimal)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    shutil.rmtree(root, ignore_errors=True)
    subprocess.run(["cp", "-a", minimal, root], check=True)
    shutil.copy("/etc/resolv.conf", root / "etc")
    # A mirror of testing may be some days old.
    (root / "etc/apt/apt.conf.d/mirror").write_text('Acquire::Check-Valid-Until "false";\n')
    clone = root / "root" / "gudi"
    subprocess.run(["git", "clone", "-q", HERE, clone], check=True)

    def inside(command: str, lines: int = 1) -> float:
        """Run `command` in the clone, print its last lines, and return the seconds that it took."""
        started = time.perf_counter()
        env = {name: os.environ[name] for name in os.environ if name.startswith("PIP_")}
        env |= {"HOME": "/nonexistent", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
        env["DEBIAN_FRONTEND"] = "noninteractive"
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-ec", INSIDE, root, command],
            env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        if done.returncode:
            sys.exit(f"{release}: {command}\n{done.stdout}")
        print(release, *done.stdout.splitlines()[-lines:], sep=": ", flush=True)
        return time.perf_counter() - started

    apt, command, install = readme()
    before = megabytes(root)
    apt_s = inside(f"apt-get update && {apt}")
    # A machine behind an intercepting proxy needs its certificate; apt writes this file anew.
    certificates = Path("/etc/ssl/certs/ca-certificates.crt")
    if certificates.exists():
        (root / "etc/ssl/certs").mkdir(parents=True, exist_ok=True)
        shutil.copy(certificates, root / "etc/ssl/certs")
    apt_mb = megabytes(root) - before
    command_s = inside(command)
    inside(DESCRIBE, 2)
    found = faces(clone / "results")
    expected = faces_here(json.loads((clone / "results" / "run.json").read_text("utf-8")))
    boxes = [[row[name] for name in BOX] for row in found]
    same = boxes == [[row[name] for name in BOX] for row in expected]
    emotions = list(found[0])[list(found[0]).index("confidence") :]
    apart = max(
        abs(float(one[name]) - float(other[name]))
        for one, other in zip(found, expected)
        for name in emotions
    )
    print(
        f"{release}: apt {apt_s / 60:.1f} min, {apt_mb} MB; first command {command_s / 60:.1f} min,"
        f" {megabytes(clone / '.venv')} MB; {len(found)} faces, boxes"
        f" {'the same' if same else 'NOT the same'}, probabilities within {apart:.0e}",
        flush=True,
    )
    if tests:
        inside(install + TEST)
        inside("rm -r .venv && " + install.replace(LOCK, "") + TEST)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("release", nargs="+")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir(), "bare_machine"))
    parser.add_argument("--tests", action="store_true")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    for release in options.release:
        try_release(release, options.folder, options.tests)


if __name__ == "__main__":
    main()
