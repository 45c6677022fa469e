"""Data: readers that trust no file, glyphs that are functions, splits and augmentation by seed."""

import gzip
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refimpl.data import glyphs
from refimpl.data import sets as data
from refimpl.data.idx import MAX_BYTES, read_cifar10, read_idx


def idx(array, magic=b"\0\0\x08", shape=None):
    shape = array.shape if shape is None else shape
    return magic + bytes([len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + array.astype(np.uint8).tobytes()


IMAGES = np.arange(12 * 28 * 28).reshape(12, 28, 28) % 256
LABELS = np.arange(12) % 10


def folder(path, images=IMAGES, labels=LABELS, part="t10k", packed=False):
    path.mkdir(exist_ok=True, parents=True)
    for name, array in ((f"{part}-images-idx3-ubyte", images), (f"{part}-labels-idx1-ubyte", labels)):
        content = idx(array)
        (path / (name + ".gz" * packed)).write_bytes(gzip.compress(content) if packed else content)
    return path


@pytest.mark.parametrize("packed", [False, True])
def test_idx_files_come_back_as_they_were(tmp_path, packed):
    loaded = data.load("mnist", folder(tmp_path / "d", packed=packed))
    np.testing.assert_array_equal(loaded.images[:, 0], IMAGES)
    np.testing.assert_array_equal(loaded.labels, LABELS)


BROKEN = {
    "empty file": b"",
    "three bytes": b"\0\0\x08",
    "header cut": idx(IMAGES)[:10],
    "another magic": idx(IMAGES, magic=b"\0\1\x08"),
    "floats": idx(IMAGES, magic=b"\0\0\x0d"),
    "labels in place of images": idx(LABELS),
    "one byte short": idx(IMAGES)[:-1],
    "one byte long": idx(IMAGES) + b"\0",
    "sizes too large": idx(IMAGES, shape=(13, 28, 28)),
    "sizes too small": idx(IMAGES, shape=(11, 28, 28)),
    "sizes beyond memory": idx(IMAGES, shape=(2**32 - 1, 2**32 - 1, 2**32 - 1)),
    "no images": idx(IMAGES[:0], shape=(0, 28, 28)),
    "a pickle": b"\x80\x04\x95" + bytes(100),
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("packed", [False, True])
def test_broken_idx_files_are_refused_by_name(tmp_path, content, packed):
    path = tmp_path / ("broken" + ".gz" * packed)
    path.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(ValueError, match=r"data file .*broken"):
        read_idx(path, 3)


def test_broken_compression_is_refused(tmp_path):
    packed = gzip.compress(idx(IMAGES))
    for i, content in enumerate((packed[:-9], packed[:20], packed[:30] + b"\xff" * 20 + packed[50:], idx(IMAGES), b"")):
        path = tmp_path / f"file{i}.gz"
        path.write_bytes(content)
        with pytest.raises(ValueError, match="data file"):
            read_idx(path, 3)


def test_a_decompression_bomb_is_never_unpacked(tmp_path):
    header = b"\0\0\x08\x03" + struct.pack(">3I", 1, 28, 28)
    bomb = tmp_path / "bomb.gz"
    bomb.write_bytes(gzip.compress(header + bytes(64 << 20)))
    with pytest.raises(ValueError, match="more data than the 784 bytes"):
        read_idx(bomb, 3)
    bomb.write_bytes(gzip.compress(b"\0\0\x08\x03" + struct.pack(">3I", 4 * MAX_BYTES // 784, 28, 28)))
    with pytest.raises(ValueError, match="allowed"):
        read_idx(bomb, 3)


def test_what_is_no_file_is_refused(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path in (tmp_path, tmp_path / "nothing", tmp_path / "loop"):
        with pytest.raises(ValueError, match="data file"):
            read_idx(path, 3)


@given(st.binary(max_size=200))
def test_random_bytes_never_do_anything_else(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("bytes") / "file"
    path.write_bytes(content)
    for read in (lambda: read_idx(path, 1), lambda: read_cifar10(path)):
        try:
            read()
        except ValueError as error:
            assert str(path) in str(error)


def test_labels_and_images_must_belong_together(tmp_path):
    with pytest.raises(ValueError, match="12 images"):
        data.load("mnist", folder(tmp_path / "a", labels=LABELS[:-1]))
    with pytest.raises(ValueError, match="got 10"):
        data.load("mnist", folder(tmp_path / "b", labels=LABELS + 1))
    with pytest.raises(ValueError, match="28 x 28"):
        data.load("mnist", folder(tmp_path / "c", images=IMAGES[:, :, :27]))


def test_missing_data_says_what_and_where(tmp_path, monkeypatch):
    monkeypatch.delenv("REFIMPL_DATA", raising=False)
    with pytest.raises(ValueError, match="--data-dir or REFIMPL_DATA"):
        data.load("mnist")
    with pytest.raises(ValueError, match=r"t10k-images-idx3-ubyte.*https://"):
        data.load("fashion-mnist", tmp_path)
    with pytest.raises(ValueError, match="is not a folder"):
        data.load("cifar-10", tmp_path / "none")
    with pytest.raises(ValueError, match="data: expected one of"):
        data.load("imagenet", tmp_path)
    monkeypatch.setenv("REFIMPL_DATA", str(folder(tmp_path / "mnist").parent))
    assert len(data.load("mnist").labels) == 12


def test_official_test_images_stay_apart(tmp_path):
    path = folder(tmp_path / "d", images=np.zeros((20, 28, 28)), labels=np.arange(20) % 10, part="train")
    folder(path, images=np.full((12, 28, 28), 255))
    parts = data.split(data.load("mnist", path), seed=3)
    assert [len(p) for p in (parts.training, parts.validation, parts.test)] == [18, 2, 12]
    assert parts.test.x.min() == 1 and parts.training.x.max() == 0


def test_cifar_records(tmp_path):
    records = np.random.default_rng(0).integers(0, 256, (7, 3073), dtype=np.uint8)
    records[:, 0] %= 10
    path = tmp_path / "data_batch_1.bin"
    path.write_bytes(records.tobytes())
    loaded = data.load("cifar-10", tmp_path)
    np.testing.assert_array_equal(loaded.images.reshape(7, -1), records[:, 1:])
    np.testing.assert_array_equal(loaded.labels, records[:, 0])
    path.write_bytes(records.tobytes()[:-1])
    with pytest.raises(ValueError, match="records of 3073 bytes"):
        read_cifar10(path)
    records[3, 0] = 10
    path.write_bytes(records.tobytes())
    with pytest.raises(ValueError, match="got 10"):
        read_cifar10(path)


def test_the_split_is_a_partition_in_the_order_of_the_file():
    images = np.arange(100, dtype=np.float32).reshape(100, 1, 1, 1)
    whole = data.DataSet("numbers", images, np.arange(100) % 10)
    for seed in (None, 0, 1):
        parts = data.split(whole, seed)
        pieces = [p.x.ravel() for p in (parts.training, parts.validation, parts.test)]
        assert [len(p) for p in pieces] == [80, 10, 10]
        np.testing.assert_array_equal(np.sort(np.concatenate(pieces)), np.arange(100))
        if seed is None:
            np.testing.assert_array_equal(np.concatenate(pieces), np.arange(100))


def test_the_fingerprint_sees_every_change():
    whole = data.DataSet("numbers", np.zeros((4, 1, 2, 2), np.uint8), np.zeros(4, int))
    one, label = whole.images.copy(), whole.labels.copy()
    one[3, 0, 1, 1] = label[2] = 1
    others = [data.DataSet("n", one, whole.labels), data.DataSet("n", whole.images, label)]
    others += [data.DataSet("n", whole.images.reshape(4, 1, 4, 1), whole.labels)]
    assert len({d.fingerprint for d in (whole, *others)}) == 4


def test_glyphs_are_the_same_functions_at_every_resolution():
    fine, labels = glyphs.draw(40, 56, seed=3)
    coarse, again = glyphs.draw(40, 28, seed=3)
    np.testing.assert_array_equal(labels, again)
    blocks = fine.reshape(40, 28, 2, 28, 2).mean(axis=(2, 4))
    np.testing.assert_allclose(blocks, coarse[:, 0], atol=4 * np.finfo(np.float32).eps)
    odd = glyphs.draw(40, 31, seed=3)[0]
    np.testing.assert_allclose(odd.mean(axis=(1, 2, 3)), coarse.mean(axis=(1, 2, 3)), atol=4 * np.finfo(np.float32).eps)


def test_glyphs_repeat_by_seed_and_differ_otherwise():
    first, second, other = (glyphs.draw(20, seed=s)[0] for s in (0, 0, 1))
    np.testing.assert_array_equal(first, second)
    assert (first != other).any() and first.min() >= 0 and first.max() <= 1


def test_coverage_of_a_square_is_its_area():
    corners = np.array([[0.25, 0.25], [0.25, 0.75], [0.8, 0.75], [0.8, 0.25], [0.25, 0.25]])
    image = glyphs.render(np.stack([corners[:-1], corners[1:]], axis=1), 10)
    x, y = (np.clip(np.minimum(b, edges + 0.1) - np.maximum(a, edges), 0, None) * 10
            for a, b, edges in ((0.25, 0.8, np.arange(10) / 10), (0.25, 0.75, np.arange(10) / 10)))  # fmt: skip
    np.testing.assert_allclose(image, np.outer(y, x), atol=1e-14)


def test_augmentation_repeats_by_seed_and_keeps_its_input():
    x = np.random.default_rng(0).random((6, 2, 8, 8), dtype=np.float32)
    before = x.copy()
    one, two = (data.augment(x, np.random.default_rng(5), crop=2, flip=True, noise=0.1) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(x, before)
    assert one.shape == x.shape and one.dtype == np.float32
    np.testing.assert_array_equal(data.augment(x, np.random.default_rng(5)), x)


def test_cropped_images_are_shifts_with_zeros():
    x = np.random.default_rng(0).random((50, 1, 6, 6)) + 1
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    shifts = [padded[:, :, a : a + 6, b : b + 6] for a in range(3) for b in range(3)]
    cropped = data.augment(x, np.random.default_rng(1), crop=1)
    assert all(any((cropped[i] == s[i]).all() for s in shifts) for i in range(50))
