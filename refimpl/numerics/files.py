"""Files appear whole or not at all: written beside their place, then moved into it."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path in the same folder; on success it is flushed to disk and replaces ``path``.

    The temporary file keeps the suffix of ``path``, so that writers that go by the suffix work. Missing
    folders are made. On any exception the temporary file is removed and ``path`` is untouched. A symbolic link
    stays, what it points to is replaced; a device or a pipe (/dev/stdout) is written to.

    Raises
    ------
    OSError : the folder cannot be made or written to, the disk is full.
    """
    target = Path(path)
    special = _special(target)
    target = target if special else _real(target)
    folder = Path(tempfile.gettempdir()) if special else target.parent
    folder.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{target.stem}-", suffix=target.suffix, dir=folder)
    os.close(handle)
    try:
        yield Path(name)
        _pour(name, target) if special else _replace(name, target)
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
    finally:
        with suppress(OSError):
            os.unlink(name)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text file (UTF-8) atomically."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise OSError now if ``path`` could not be written later; leaves nothing behind but its folder."""
    target = Path(path)
    if target.is_dir():
        raise IsADirectoryError(f"{target} is a folder")
    if _special(target):
        return
    target = _real(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=target.parent):
        pass


def _special(target: Path) -> bool:
    """Whether there is something that is neither file nor folder, such as a device or a pipe."""
    return target.exists() and not target.is_file() and not target.is_dir()


def _real(target: Path) -> Path:
    """Where a symbolic link leads; everything else stays."""
    return Path(os.path.realpath(target)) if target.is_symlink() else target


def _pour(name: str, target: Path) -> None:
    with open(name, "rb") as source, open(target, "wb") as stream:
        shutil.copyfileobj(source, stream)


def _replace(name: str, target: Path) -> None:
    with open(name, "rb+") as file:
        os.fsync(file.fileno())
    os.chmod(name, 0o666 & ~_umask())
    os.replace(name, target)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
