"""``.npz`` files with the same bytes on every run: stored, sorted as given, dated 1980; read without pickle."""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

LIMIT = 2**30  # bytes that a result file may unpack to


def write_npz(path: Path, values: Mapping[str, Any]) -> None:
    """Write arrays, numbers, words and tuples of numbers by name, uncompressed, little-endian, in C order."""
    path.write_bytes(npz_bytes(values))


def npz_bytes(values: Mapping[str, Any]) -> bytes:
    """The bytes of an ``.npz`` file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, value in values.items():
            info = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            info.create_system, info.external_attr = 3, 0o644 << 16
            archive.writestr(info, npy_bytes(value))
    return buffer.getvalue()


def npy_bytes(value: Any) -> bytes:
    """The ``.npy`` file (version 1.0) of a value."""
    array = np.array(value, order="C")
    if array.dtype.kind not in "biufcU":
        raise ValueError(f"value: expected numbers or words, got dtype {array.dtype}")
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array.astype(array.dtype.newbyteorder("<")), version=(1, 0), allow_pickle=False)
    return buffer.getvalue()


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file, without pickle.

    Raises
    ------
    OSError : there is no such file, or it cannot be read.
    ValueError : not an ``.npz`` file, objects in it, arrays shorter than they say, or more than a GiB.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(info.file_size for info in archive.infolist()) > LIMIT:
                raise ValueError(f"more than {LIMIT} bytes of arrays")
        with np.load(path, allow_pickle=False) as file:
            return {name: _array(file[name]) for name in file.files}
    except OSError:
        raise
    except Exception as error:  # zip, npy and zlib raise a dozen types for damaged files
        what = f"{type(error).__name__}: {error}"
        raise ValueError(f"{path}: expected an .npz file without objects, got {what}") from None


def _array(value: Any) -> np.ndarray:
    if not isinstance(value, np.ndarray):
        raise ValueError("a member that is no .npy file")
    return value
