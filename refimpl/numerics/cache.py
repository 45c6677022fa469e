"""Numba's cache on disk, here never trusted and never needed: a damaged one is replaced, a full disk left alone.

A kernel may call kernels of other files. Numba looks at the file of the kernel alone; here all of `kernels` counts, and
`refimpl.numerics.jit`, which says how they are compiled.
"""

import pickle
from contextlib import suppress
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from numba.core.caching import CompileResultCacheImpl, FunctionCache, IndexDataCacheFile


class Files(IndexDataCacheFile):
    """Files with a checksum, since machine code with a flipped bit is another program."""

    def _save_data(self, name: str, data: Any) -> None:
        text = self._dump(data)
        super()._save_data(name, (sha256(text).digest(), text))

    def _load_data(self, name: str) -> Any:
        digest, text = super()._load_data(name)
        if sha256(text).digest() != digest:
            raise ValueError(f"{name} is damaged")
        return pickle.loads(text)


class Places(CompileResultCacheImpl):
    """Where the files may be: the user's cache folder before the package's own, which installers want unchanged."""

    _locator_classes = sorted(CompileResultCacheImpl._locator_classes, key=lambda place: "InTree" in place.__name__)


class Cache(FunctionCache):
    """The cache of one kernel: in a checkout beside its source, else in `Places`.

    Raises
    ------
    RuntimeError : there is no writable place for it.
    """

    _impl_class = Places if "site-packages" in Path(__file__).parts else FunctionCache._impl_class

    def __init__(self, function: Any) -> None:
        super().__init__(function)
        self._cache_file.__class__ = Files
        self._cache_file._source_stamp = self._cache_file._source_stamp, _sources()

    def load_overload(self, signature: Any, context: Any) -> Any:
        """The compiled kernel, or None where there is none that can be read: then it is compiled and written anew."""
        try:
            return super().load_overload(signature, context)
        except Exception:  # pickle raises anything
            with suppress(OSError):
                self.flush()
            return None

    def save_overload(self, signature: Any, data: Any) -> None:
        """Keep a compiled kernel, where there is room."""
        with suppress(OSError):
            super().save_overload(signature, data)


@cache
def _sources() -> str:
    """A digest of every file with kernels, and of the rules they are compiled by."""
    files = [Path(__file__).with_name("jit.py"), *sorted((Path(__file__).parent / "kernels").glob("*.py"))]
    return sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
