"""Metadata of the package; settings of the tools are in pyproject.toml."""

import re
from pathlib import Path

from setuptools import setup

HERE = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (HERE / "gudi" / "__init__.py").read_text())[1]

setup(
    name="gudi",
    version=VERSION,
    description="Recognise facial expressions in photos and videos, with old Gudi checkpoints, too",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    packages=["gudi", "gudi.checkpoint", "gudi.report", "jobs"],
    package_data={"gudi.checkpoint": ["default.gudi"], "gudi.report": ["page.*"]},
    python_requires=">=3.10,<3.14",
    install_requires=[
        "av>=14.2",  # decodes videos
        "click>=8.1",
        "cloudpickle>=3.0",  # sends functions of scripts and notebooks to worker processes
        "filelock>=3.12",  # two trainings do not write into one folder
        "google-crc32c>=1.5",  # the checksums of checkpoints
        "joblib>=1.4",
        "matplotlib>=3.8",
        "numpy>=2.0",
        # Until 4.10 a photo that is cut short counts as whole; 5.0 has no CascadeClassifier.
        "opencv-python>=4.11,<5",
        "psutil>=5.9",  # ends worker processes with all that they started
        "scikit-learn>=1.4",  # the split that the original trains with
        # Both ends of the range have passed the tests; pip takes 2.20 or newer on Python 3.13.
        "tensorflow>=2.18,<2.22",
        "tflearn==0.5.0",
        # tflearn imports these without asking for them.
        "pillow>=9.1",
        "scipy>=1.11",
        "windows-curses; sys_platform == 'win32'",
    ],
    extras_require={
        "gpu": ["tensorflow[and-cuda]>=2.18,<2.22"],
        "dask": ["distributed>=2024.8"],
        "onnx": ["onnx>=1.17"],
        "parquet": ["pyarrow>=17"],
        "test": [
            "distributed>=2024.8",
            "onnx>=1.17",
            "onnxruntime>=1.19",
            "pyarrow>=17",
            "pytest>=8",
            "pytest-xdist>=3.7",
            "ruff>=0.11",
            "selenium>=4.20",  # steers a browser through report.html
        ],
    },
    entry_points={"console_scripts": ["gudi = gudi.cli:main"]},
)
