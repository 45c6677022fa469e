"""Readers of the image files that people have: IDX (MNIST, Fashion-MNIST; gz or not) and CIFAR-10 binary.

A file is never trusted: the header is checked against the real length before anything is allocated,
compressed data is read in pieces and never past what the header promised, and nothing is unpickled.
Every failure is one ``ValueError`` that names the file.
"""

from __future__ import annotations

import gzip
import os
import stat
import struct
import zlib
from math import prod
from pathlib import Path
from typing import BinaryIO, NoReturn

import numpy as np

Array = np.ndarray

MAX_BYTES = 1 << 30  # no data set read here is larger
_DEFLATE = 1032  # deflate expands a byte to at most this many
_PIECE = 1 << 20
_CIFAR = 3 * 32 * 32


def read_idx(path: str | os.PathLike[str], ndim: int) -> Array:
    """The array of unsigned bytes in an IDX file, compressed when its name ends in ``.gz``.

    Parameters
    ----------
    path : the file.
    ndim : the number of axes expected: 3 for images (n, height, width), 1 for labels (n,).

    Raises
    ------
    ValueError : not a readable regular file; wrong magic number, type or axes; empty; a length that
        does not match the sizes in the header; broken compression; more than ``MAX_BYTES``.
    """
    path = Path(path)
    _regular(path)
    packed = path.suffix == ".gz"
    try:
        with gzip.open(path, "rb") if packed else path.open("rb") as stream:
            shape = _header(path, stream, ndim)  # type: ignore[arg-type]
            _plausible(path, prod(shape), packed, 4 + 4 * ndim)
            content = _exactly(path, stream, prod(shape))  # type: ignore[arg-type]
    except (OSError, EOFError, zlib.error) as error:
        _broken(path, f"cannot be read ({_reason(error)})")
    return np.frombuffer(content, np.uint8).reshape(shape)


def read_cifar10(path: str | os.PathLike[str]) -> tuple[Array, Array]:
    """Images (n, 3, 32, 32) and labels (n,) of one CIFAR-10 binary file: records of 1 + 3072 bytes.

    Raises
    ------
    ValueError : not a readable regular file; not a whole number of records; a label above 9; too large.
    """
    path = Path(path)
    size = _regular(path)
    if size == 0 or size % (_CIFAR + 1) or size > MAX_BYTES:
        _broken(path, f"expected records of {_CIFAR + 1} bytes, got {size} bytes")
    try:
        records = np.frombuffer(path.read_bytes(), np.uint8).reshape(-1, _CIFAR + 1)
    except (OSError, ValueError) as error:
        _broken(path, f"cannot be read ({_reason(error)})")
    check_labels(path, records[:, 0])
    return records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0].astype(np.int64)


def check_labels(path: Path, labels: Array, classes: int = 10) -> None:
    """Raise unless all labels are below ``classes``."""
    if labels.max(initial=0) >= classes:
        _broken(path, f"expected labels 0 ... {classes - 1}, got {labels.max()}")


def _regular(path: Path) -> int:
    try:
        status = path.stat()
    except OSError as error:
        _broken(path, f"cannot be read ({_reason(error)})")
    if not stat.S_ISREG(status.st_mode):
        _broken(path, "is not a regular file")
    return status.st_size


def _header(path: Path, stream: BinaryIO, ndim: int) -> tuple[int, ...]:
    head = stream.read(4 + 4 * ndim)
    if len(head) < 4 or head[:2] != b"\0\0" or head[2] != 8:
        _broken(path, f"is not an IDX file of unsigned bytes (starts with {head[:4].hex(' ') or 'nothing'})")
    if head[3] != ndim:
        _broken(path, f"expected {ndim} axes, got {head[3]}: images and labels mixed up?")
    if len(head) < 4 + 4 * ndim:
        _broken(path, "is truncated within its header")
    shape = struct.unpack(f">{ndim}I", head[4:])
    if prod(shape) == 0:
        _broken(path, f"is empty: its sizes are {shape}")
    return shape


def _plausible(path: Path, promised: int, packed: bool, header: int) -> None:
    size = path.stat().st_size
    if promised > MAX_BYTES:
        _broken(path, f"promises {promised} bytes, more than the {MAX_BYTES} allowed")
    if promised > (size * _DEFLATE if packed else size - header):
        _broken(path, f"promises {promised} bytes of data, but has {size} bytes: truncated, or its sizes are wrong")


def _exactly(path: Path, stream: BinaryIO, promised: int) -> bytes:
    pieces, missing = [], promised
    while missing and (piece := stream.read(min(_PIECE, missing))):
        pieces.append(piece)
        missing -= len(piece)
    if missing:
        _broken(path, f"promises {promised} bytes of data, but ends {missing} bytes early: truncated")
    if stream.read(1):
        _broken(path, f"has more data than the {promised} bytes its sizes promise")
    return b"".join(pieces)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _broken(path: Path, what: str) -> NoReturn:
    raise ValueError(f"data file {path}: {what}")
