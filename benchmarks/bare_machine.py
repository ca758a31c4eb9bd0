"""Install gudi on a minimal Debian by the README's words, and compare the faces.

    python benchmarks/bare_machine.py trixie testing [--folder FOLDER]

Needs root, debootstrap and a network. For each release, debootstrap makes a minimal system in
FOLDER, without compiler, desktop or Python. There the script installs Debian's Python and the
libraries that the README names, and runs the README's first command on the commit that is checked
out. The boxes have to be the same as here, and the probabilities within 1e-5. A second run of the
script starts over from the minimal system of the first.
"""

from __future__ import annotations

import argparse
import csv
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
BOX = ("source", "frame", "face", "x", "y", "width", "height", "score", "emotion")


def readme() -> tuple[str, str]:
    """Return the apt-get command and the first set-up command of the README."""
    text = (HERE / "README.md").read_text("utf-8")
    apt = re.search(r"`(apt-get install [^`]+)`", text)
    command = re.search(r"```sh\n(.+)\n", text)
    assert apt
    assert command
    return apt[1].replace("install", "install -y python3-venv"), command[1]


def faces(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def megabytes(folder: Path) -> int:
    done = subprocess.run(["du", "-smx", folder], check=True, capture_output=True, text=True)
    return int(done.stdout.split()[0])


def try_release(release: str, folder: Path, expected: list[dict[str, str]]) -> None:
    minimal, root = folder / f"{release}-minimal", folder / release
    if not minimal.exists():
        command = ["debootstrap", "--variant=minbase", release, str(minimal)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    shutil.rmtree(root, ignore_errors=True)
    subprocess.run(["cp", "-a", minimal, root], check=True)
    shutil.copy("/etc/resolv.conf", root / "etc")
    clone = root / "root" / "gudi"
    subprocess.run(["git", "clone", "-q", HERE, clone], check=True)

    def inside(command: str) -> float:
        """Run `command` in the clone and return the seconds that it takes."""
        started = time.perf_counter()
        line = ["chroot", root, "/bin/sh", "-ec", f"cd /root/gudi && {command}"]
        env = {name: os.environ[name] for name in os.environ if name.startswith("PIP_")}
        env |= {"HOME": "/root", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
        env["DEBIAN_FRONTEND"] = "noninteractive"
        done = subprocess.run(
            line, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        if done.returncode:
            sys.exit(f"{release}: {command}\n{done.stdout}")
        print(release, done.stdout.splitlines()[-1] if done.stdout else "", sep=": ")
        return time.perf_counter() - started

    apt, command = readme()
    subprocess.run(["mount", "-t", "proc", "proc", root / "proc"], check=True)
    subprocess.run(["mount", "--bind", "/dev", root / "dev"], check=True)
    try:
        before = megabytes(root)
        apt_s = inside(f"apt-get update && {apt}")
        # A machine behind an intercepting proxy needs its certificate; apt writes this file anew.
        certificates = Path("/etc/ssl/certs/ca-certificates.crt")
        if certificates.exists():
            (root / "etc/ssl/certs").mkdir(parents=True, exist_ok=True)
            shutil.copy(certificates, root / "etc/ssl/certs")
        apt_mb = megabytes(root) - before
        command_s = inside(command)
        inside(
            "cd / && /root/gudi/.venv/bin/python -c 'import sys, cv2, numpy;"
            "from gudi.detection import haar;"
            'print("python", sys.version.split()[0], "opencv", cv2.__version__,'
            ' "numpy", numpy.__version__, "haar", haar.implementation())'
            "'"
        )
    finally:
        subprocess.run(["umount", root / "dev"], check=False)
        subprocess.run(["umount", root / "proc"], check=False)
    found = faces(clone / "results" / "faces.csv")
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
        f" {'the same' if same else 'NOT the same'}, probabilities within {apart:.0e}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("release", nargs="+")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir(), "bare_machine"))
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as out:
        gudi = os.path.join(os.path.dirname(sys.executable), "gudi")
        line = [gudi, "batch", "data/example", "--out", out, "--no-report", "--no-annotate"]
        subprocess.run(line, cwd=HERE, check=True, capture_output=True)
        expected = faces(Path(out, "faces.csv"))
    for release in options.release:
        try_release(release, options.folder, expected)


if __name__ == "__main__":
    main()
