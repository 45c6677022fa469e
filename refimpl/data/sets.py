"""Data sets by name, split by seed, augmented by seed.

``glyphs`` is embedded and always there. The others are read from a folder: ``--data-dir``, or the
environment variable ``REFIMPL_DATA``, or a folder of the data set's name inside of it.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np

from refimpl.data import glyphs
from refimpl.data.idx import check_labels, read_cifar10, read_idx
from refimpl.numerics import validate

Array = np.ndarray

IDX = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
CIFAR_TRAIN = tuple(f"data_batch_{i}.bin" for i in range(1, 6))
CIFAR_TEST = "test_batch.bin"
CIFAR_FILES = (*CIFAR_TRAIN, CIFAR_TEST)
CIFAR_INNER = "cifar-10-batches-bin"
SOURCES = {
    "mnist": "the four IDX files of https://yann.lecun.com/exdb/mnist (mirror: https://ossci-datasets.s3.amazonaws.com/mnist)",
    "fashion-mnist": "the four IDX files of https://github.com/zalandoresearch/fashion-mnist",
    "cifar-10": "the binary version at https://www.cs.toronto.edu/~kriz/cifar.html",
}
NAMES = (*SOURCES, "glyphs")
FASHION = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot")
CIFAR = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CLASSES = {"fashion-mnist": FASHION, "cifar-10": CIFAR}


@dataclass(frozen=True)
class DataSet:
    """Images (n, channels, height, width), unsigned bytes or floats in [0, 1], with labels (n,) in 0 ... 9.

    The last ``tests`` samples are the official test set; 0 where the files hold no such division.
    """

    name: str
    images: Array
    labels: Array
    classes: tuple[str, ...] = tuple("0123456789")
    tests: int = 0

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that change with any pixel or label: results are kept under them."""
        digest = hashlib.sha256(str((self.images.shape, self.tests)).encode())
        digest.update(self.images.tobytes())
        digest.update(self.labels.astype(np.int64).tobytes())
        return digest.hexdigest()[:16]

    def take(self, index: Array) -> Part:
        """The samples at these places, as floats in [0, 1]."""
        images = self.images[index]
        scaled = images.astype(np.float32) / np.float32(255) if images.dtype == np.uint8 else images
        return Part(scaled, self.labels[index].astype(np.int64))


@dataclass(frozen=True)
class Part:
    """A part of a data set, ready to use: x (n, channels, height, width) float32 in [0, 1], labels (n,)."""

    x: Array
    labels: Array

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, count: int) -> Part:
        """The first samples, at most ``count``."""
        return Part(self.x[:count], self.labels[:count])


@dataclass(frozen=True)
class Split:
    """Training, validation and test parts, disjoint."""

    training: Part
    validation: Part
    test: Part


def load(name: str, data_dir: str | os.PathLike[str] | None = None, glyph_count: int = 10_000) -> DataSet:
    """A data set by name: ``mnist``, ``fashion-mnist``, ``cifar-10``, ``glyphs``.

    MNIST's files come with or without ``.gz``; one of the two pairs (training, test) is enough.

    Parameters
    ----------
    data_dir : the folder with the files; by default the environment variable ``REFIMPL_DATA``.
    glyph_count : how many glyphs are drawn, for ``glyphs`` only.

    Raises
    ------
    ValueError : an unknown name; files missing (which, and where to get them); broken files.
    """
    validate.choice("data", name, NAMES)
    if name == "glyphs":
        images, labels = glyphs.draw(glyph_count)
        return DataSet(name, images, labels)
    folder = _folder(name, data_dir)
    return _load_cifar(folder) if name == "cifar-10" else _load_idx(name, folder)


def split(data: DataSet, seed: int | None = None) -> Split:
    """8 : 1 : 1 into training, validation and test; or 9 : 1 where the files bring their own test set.

    Parameters
    ----------
    seed : None keeps the order of the file (the first 8,000 of 10,000 images train, the next 1,000
        validate, the last 1,000 test); a number shuffles first, an official test set always apart.
    """
    free = len(data.labels) - data.tests
    order = np.arange(free) if seed is None else validate.generator("seed", seed).permutation(free)
    held = free // 10
    if data.tests:
        tests = np.arange(free, len(data.labels))
        return Split(data.take(order[: free - held]), data.take(order[free - held :]), data.take(tests))
    train, validation = free - 2 * held, free - held
    return Split(data.take(order[:train]), data.take(order[train:validation]), data.take(order[validation:]))


def augment(x: Array, rng: np.random.Generator, crop: int = 0, flip: bool = False, noise: float = 0.0) -> Array:
    """A random variant of every image (n, channels, height, width).

    Parameters
    ----------
    crop : pad by so many zero pixels and cut the old size out at a random place.
    flip : mirror left and right with probability 1/2.
    noise : standard deviation of normal noise, added last; values may leave [0, 1].
    """
    x = validate.real_array("x", x, ndim=4)
    x = _cropped(x, crop, rng) if validate.integer("crop", crop, low=0) else x
    noise = validate.nonnegative("noise", noise)
    if validate.flag("flip", flip):
        x = np.where(rng.random((len(x), 1, 1, 1)) < 0.5, x[..., ::-1], x)
    drawn = x.dtype if x.dtype.itemsize <= 8 else np.dtype(float)
    return x + x.dtype.type(noise) * rng.standard_normal(x.shape, dtype=drawn) if noise else x  # type: ignore[arg-type]


def _cropped(x: Array, crop: int, rng: np.random.Generator) -> Array:
    n, _, height, width = x.shape
    padded = np.pad(x, ((0, 0), (0, 0), (crop, crop), (crop, crop)))
    top, left = rng.integers(0, 2 * crop + 1, (2, n))
    rows = top[:, None] + np.arange(height)
    columns = left[:, None] + np.arange(width)
    return padded[np.arange(n)[:, None, None], :, rows[:, :, None], columns[:, None, :]].transpose(0, 3, 1, 2)


def present(name: str, data_dir: str | os.PathLike[str] | None = None) -> bool:
    """Whether a file of this data set lies in its folder; what is in it is not looked at."""
    if name == "glyphs":
        return True
    folder = _folder(name, data_dir)
    if name == "cifar-10":
        return any((place / file).exists() for place in (folder, folder / CIFAR_INNER) for file in CIFAR_FILES)
    return any(_find(folder, file) for files in IDX.values() for file in files)


def _folder(name: str, data_dir: str | os.PathLike[str] | None) -> Path:
    given = data_dir if data_dir is not None else os.environ.get("REFIMPL_DATA")
    if given is None:
        raise ValueError(f"data {name}: give its folder with --data-dir or REFIMPL_DATA; it holds {SOURCES[name]}")
    folder = Path(given)
    if not folder.is_dir():
        raise ValueError(f"data folder {folder}: is not a folder")
    return folder / name if (folder / name).is_dir() else folder


def _load_idx(name: str, folder: Path) -> DataSet:
    pairs = {part: [_find(folder, file) for file in files] for part, files in IDX.items()}
    found = {part: files for part, files in pairs.items() if None not in files}
    if not found:
        _missing(name, folder, [*IDX["train"], *IDX["test"]])
    parts = {part: _pair(*files) for part, files in found.items()}  # type: ignore[arg-type]
    images = np.concatenate([images for images, _ in parts.values()])
    labels = np.concatenate([labels for _, labels in parts.values()])
    tests = len(parts["test"][1]) if len(parts) == 2 else 0
    return DataSet(name, images[:, None], labels.astype(np.int64), CLASSES.get(name, tuple("0123456789")), tests)


def _find(folder: Path, file: str) -> Path | None:
    return next((path for path in (folder / file, folder / f"{file}.gz") if path.exists()), None)


def _pair(image_path: Path, label_path: Path) -> tuple[Array, Array]:
    images, labels = read_idx(image_path, 3), read_idx(label_path, 1)
    if len(images) != len(labels):
        raise ValueError(
            f"data file {label_path}: {len(labels)} labels, but {image_path.name} has {len(images)} images"
        )
    if images.shape[1:] != (28, 28):
        raise ValueError(f"data file {image_path}: expected images of 28 x 28 pixels, got {images.shape[1:]}")
    check_labels(label_path, labels)
    return images, labels


def _load_cifar(folder: Path) -> DataSet:
    inner = folder / CIFAR_INNER
    folder = inner if inner.is_dir() else folder
    train = [folder / file for file in CIFAR_TRAIN if (folder / file).exists()]
    test = [folder / CIFAR_TEST] if (folder / CIFAR_TEST).exists() else []
    if not train and not test:
        _missing("cifar-10", folder, list(CIFAR_FILES))
    parts = [read_cifar10(path) for path in train + test]
    tests = len(parts[-1][1]) if train and test else 0
    return DataSet(
        "cifar-10", np.concatenate([i for i, _ in parts]), np.concatenate([l for _, l in parts]), CIFAR, tests
    )


def _missing(name: str, folder: Path, files: list[str]) -> NoReturn:
    raise ValueError(f"data folder {folder}: no complete pair of {', '.join(files)} there; get {SOURCES[name]}")
