"""Files that lie: arrays, checkpoints, results and documents that are cut, swapped, swollen, or carry code."""

import io
import json
import os
import pickle
import struct
import zipfile
from collections import Counter

import numpy as np
import pytest
from fuzzing import limited

from refimpl.claims.journal import Journal
from refimpl.claims.runner import Plan
from refimpl.crosscheck import vectors
from refimpl.crosscheck.npz import LIMIT, npz_bytes, read_npz
from refimpl.data import idx
from refimpl.experiments.sweep import compute
from refimpl.experiments.training import Recipe, train
from refimpl.report import memory
from refimpl.setting import Dense, Network
from refimpl.sparsity import L1, LinBreg

COUNTS: Counter = Counter()


class Bomb:
    """Unpickled, it leaves a file."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def npy(header, content=b""):
    text = header.encode() + b" " * (-(10 + len(header) + 1) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + content


def archive(members, compression=zipfile.ZIP_DEFLATED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as made:
        for name, content in members.items():
            made.writestr(name, content)
    return buffer.getvalue()


def head(shape, kind="'<f8'"):
    return f"{{'descr': {kind}, 'fortran_order': False, 'shape': {shape}, }}"


def pickled(path):
    buffer = io.BytesIO()
    np.save(buffer, np.array([Bomb(path)], dtype=object), allow_pickle=True)
    return buffer.getvalue()


def hostile(whole, path):
    """name -> bytes of files that are no arrays; ``whole`` is the right file."""
    lying = bytearray(archive({"text.npy": npy(head("(2,)"), bytes(16))}))
    place = lying.rindex(b"PK\x01\x02")
    lying[place + 24 : place + 28] = struct.pack("<I", 8)  # the directory lies about the size
    swollen = bytearray(lying)
    swollen[place + 24 : place + 28] = struct.pack("<I", LIMIT + 1)
    encrypted = bytearray(archive({"text.npy": npy(head("(2,)"), bytes(16))}))
    for magic, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        encrypted[encrypted.rindex(magic) + offset] |= 1
    method = bytearray(archive({"text.npy": npy(head("(2,)"), bytes(16))}))
    for magic, offset in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        method[method.rindex(magic) + offset] = 99
    return {
        "empty": b"",
        "magic": b"\x89PNG" + bytes(60),
        "half": whole[: len(whole) // 2],
        "tail": whole[:-4],
        "flipped": whole[:200] + bytes([whole[200] ^ 255]) + whole[201:],
        "pickle": pickle.dumps(Bomb(path)),
        "object": archive({"text.npy": pickled(path)}),
        "no npy": archive({"text": b"plain", "v00.in.v": b"plain"}),
        "nothing": archive({}),
        "header": archive({"text.npy": npy("{'descr': __import__('os')}")}),
        "unparsed": archive({"text.npy": npy("{" * 200)}),
        "long header": archive({"text.npy": npy(head("(" + "1," * 20000 + ")"))}),
        "huge": archive({"text.npy": npy(head("(1000000000000000,)"), bytes(8))}),
        "overflow": archive({"text.npy": npy(head("(4294967296, 4294967296, 4294967296)"), bytes(8))}),
        "negative": archive({"text.npy": npy(head("(-1,)"), bytes(8))}),
        "short": archive({"text.npy": npy(head("(4,)"), bytes(8))}),
        "dtype": archive({"text.npy": npy(head("(1,)", "'|O'"), bytes(8))}),
        "version": archive({"text.npy": b"\x93NUMPY\x09\x00" + bytes(30)}),
        "lying": bytes(lying),
        "encrypted": bytes(encrypted),
        "method": bytes(method),
        "swollen": bytes(swollen),
    }


ARRAYS = npz_bytes({"v00.in.v": np.arange(4.0), "v00.out.theta": np.arange(4.0)})
NAMES = list(hostile(ARRAYS, "nowhere"))


@pytest.mark.parametrize("name", NAMES)
def test_result_arrays_are_refused_by_name(name, tmp_path):
    path, mark = tmp_path / "given.npz", tmp_path / "unpickled"
    path.write_bytes(hostile(ARRAYS, mark)[name])
    with limited(10):
        if name == "nothing":
            assert read_npz(path) == {}
        else:
            with pytest.raises(ValueError, match=r"given\.npz"):
                read_npz(path)
    assert not mark.exists()


def trained(checkpoint, epochs=2):
    f = Network([Dense(2, 2)])
    x, labels = np.arange(8.0).reshape(4, 2), np.array([0, 1, 0, 1])
    return train(f, LinBreg(L1(0.1), 0.1), f.init(0), x, labels, Recipe(epochs, batch=2), checkpoint=checkpoint)


TEXTS = ["", "[]", "5", "{}", "[" * 100_000, "\ud800", '{"records": 5, "run": ""}', '{"records": [], "run": "other"}']


@pytest.mark.parametrize("name", [*NAMES, *(f"text {i}" for i in range(len(TEXTS)))])
def test_checkpoints_are_refused_by_name(name, tmp_path):
    path, mark = tmp_path / "state.npz", tmp_path / "unpickled"
    trained(path)
    if name.startswith("text"):
        text = np.frombuffer(TEXTS[int(name[5:])].encode(errors="surrogatepass"), np.uint8)
        path.write_bytes(npz_bytes({**read_npz(path), "text": text}))
    else:
        path.write_bytes(hostile(path.read_bytes(), mark)[name])
    with limited(10), pytest.raises(ValueError, match=r"(?s)checkpoint .*state.npz.*remove it to start over"):
        trained(path, 3)
    assert not mark.exists()


def test_random_damage_is_refused_or_harmless(tmp_path):
    """Every flipped byte of a checkpoint is seen by a checksum or changes nothing; every cut is seen."""
    path = tmp_path / "state.npz"
    trained(path)
    whole, expected = path.read_bytes(), trained(None, 3).theta.tobytes()
    for place in range(0, len(whole), 7):
        for damaged in (whole[:place], whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :]):
            path.write_bytes(damaged)
            try:
                assert trained(path, 3).theta.tobytes() == expected
                COUNTS["harmless"] += 1
            except ValueError as error:
                assert "state.npz" in str(error)
                COUNTS["refused"] += 1


def cell(settings, checkpoint):
    return {"n": settings["n"]}


@pytest.mark.parametrize("text", [*TEXTS, '{"result": 1', "\0", '"result"', "null"])
def test_results_of_cells_are_refused_by_name(text, tmp_path):
    assert compute(cell, {"n": 1}, tmp_path) == {"n": 1}
    [path] = tmp_path.glob("*.json")
    path.write_bytes(text.encode(errors="surrogatepass"))
    with pytest.raises(ValueError, match=path.name):
        compute(cell, {"n": 1}, tmp_path)


LINES = [*TEXTS, '{"plan": "0.1.0 0 None "}', '{"plan": "0.1.0 0 None ", "record": 5}', '{"plan":', "\xff"]


@pytest.mark.parametrize("text", LINES)
def test_journals_skip_or_refuse(text, tmp_path):
    path = tmp_path / "journal"
    path.write_bytes(text.encode(errors="surrogatepass"))
    try:
        assert Journal(path, Plan()).kept == {}
    except ValueError as error:
        assert "journal" in str(error) or "codec" in str(error)


@pytest.mark.parametrize("text", [*TEXTS, '{"x": 5}', '{"x": {"verdict": 1}}', "\xff"])
def test_remembered_evidence_is_forgotten(text, tmp_path, monkeypatch):
    monkeypatch.setenv("REFIMPL_CACHE", str(tmp_path))
    memory.location().write_bytes(text.encode(errors="surrogatepass"))
    assert memory.recall() == {}


def test_links_to_files_are_followed_and_damaged_vectors_named(tmp_path):
    (tmp_path / "real.npz").write_bytes(ARRAYS)
    (tmp_path / "link.npz").symlink_to("real.npz")
    assert set(read_npz(tmp_path / "link.npz")) == {"v00.in.v", "v00.out.theta"}
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "sparsity.prox_l1.npz").write_bytes(ARRAYS)
    with pytest.raises(ValueError, match="write them with"):
        vectors.check(tmp_path)
    (tmp_path / "sparsity.prox_l1.npz").mkdir()
    with pytest.raises((ValueError, OSError), match=r"sparsity\.prox_l1\.npz"):
        vectors.check(tmp_path)


CIFAR = bytes(3073)


@pytest.mark.parametrize(
    "content",
    [b"", CIFAR[:-1], CIFAR + b"\0", b"\x0a" + CIFAR[1:], b"\xff" * 3073, pickle.dumps({b"data": b""})],
)
def test_hostile_cifar_files_are_named(content, tmp_path):
    path = tmp_path / "data_batch_1.bin"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"data_batch_1\.bin"):
        idx.read_cifar10(path)


def test_what_is_no_cifar_file(tmp_path, monkeypatch):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "sparse").write_bytes(b"")
    os.truncate(tmp_path / "sparse", 3073 * (1 << 20))
    (tmp_path / "locked").write_bytes(CIFAR)
    (tmp_path / "locked").chmod(0)
    for name in ("folder", "pipe", "loop", "missing", "sparse", *(["locked"] if os.geteuid() else [])):
        for read in (idx.read_cifar10, lambda path: idx.read_idx(path, 1)):
            with pytest.raises(ValueError, match=name):
                read(tmp_path / name)


def test_the_files_were_tried():
    print(dict(COUNTS), json.dumps({"hostile archives": len(NAMES), "texts": len(TEXTS)}))
