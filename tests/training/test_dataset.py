"""Data sets as the original's npy files hold them."""

from __future__ import annotations

import numpy as np
import pytest

from gudi.errors import DatasetError
from gudi.training import dataset


def test_data_sets_are_read_whatever_their_type(tmp_path):
    faces = np.random.default_rng(1).integers(0, 256, (30, 48, 48), np.uint8)
    one_hot = np.eye(7)[np.arange(30) % 7]
    np.save(tmp_path / "x_labels.npy", one_hot)
    for images in (faces, faces / 255.0, (faces / 255.0).astype("f4"), faces[..., None] / 255.0):
        np.save(tmp_path / "x_images.npy", images)
        data = dataset.load(tmp_path / "x")
        np.testing.assert_array_equal(data.faces, faces)
        np.testing.assert_array_equal(data.labels, np.arange(30) % 7)
    np.save(tmp_path / "x_images.npy", faces / 300.0)
    assert dataset.load(tmp_path / "x").faces.dtype == np.float32


def test_path_may_be_the_folder_or_either_file(tmp_path):
    np.save(tmp_path / "x_images.npy", np.zeros((7, 48, 48)))
    np.save(tmp_path / "x_labels.npy", np.eye(7))
    for path in (tmp_path, tmp_path / "x_images.npy", tmp_path / "x_labels.npy", tmp_path / "x"):
        assert len(dataset.load(path).labels) == 7
    np.save(tmp_path / "y_images.npy", np.zeros((7, 48, 48)))
    with pytest.raises(DatasetError, match="holds several data sets; name one of them"):
        dataset.load(tmp_path)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.zeros((3, 47, 48)), np.eye(7)[:3], "not (n, 48, 48) faces"),
        (np.zeros((0, 48, 48)), np.eye(7)[:0], "holds no faces"),
        (np.zeros((3, 48, 48)), np.eye(7)[:2], "has the shape (2, 7), not (3, 7)"),
        (np.zeros((3, 48, 48)), np.zeros((3, 7)), "each row must be 0 to 1 and sum to 1"),
        (np.full((3, 48, 48), np.nan), np.eye(7)[:3], "not between 0 and 1"),
        (np.full((3, 48, 48), 7.0), np.eye(7)[:3], "not between 0 and 1"),
        (np.array([{}] * 3), np.eye(7)[:3], "images.npy as an npy file"),
        (np.zeros((3, 48, 48)), np.zeros((3, 7), "i4,i4"), "each row must be 0 to 1 and sum to 1"),
    ],
)
def test_files_that_are_no_data_set_are_refused(tmp_path, images, labels, message):
    np.save(tmp_path / "sf=1.1_data_images.npy", images, allow_pickle=True)
    np.save(tmp_path / "sf=1.1_data_labels.npy", labels)
    with pytest.raises(DatasetError) as caught:
        dataset.load(tmp_path)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "header",
    [b"{'descr': '<f8', 'fortran_order': False, 'shape': (-1, 48, 48)}", b"{(((", b"{'descr': 5}"],
)
def test_npy_files_with_damaged_headers_are_refused(tmp_path, header):
    content = b"\x93NUMPY\x01\x00" + bytes([len(header) + 1, 0]) + header + b"\n"
    (tmp_path / "x_images.npy").write_bytes(content)
    np.savez(tmp_path / "x_labels", a=1)
    (tmp_path / "x_labels.npz").rename(tmp_path / "x_labels.npy")
    with pytest.raises(DatasetError, match="cannot read .*x_images.npy as an npy file"):
        dataset.load(tmp_path / "x")
    np.save(tmp_path / "x_images.npy", np.zeros((3, 48, 48)))
    with pytest.raises(DatasetError, match="an archive of several arrays"):
        dataset.load(tmp_path / "x")


def test_missing_data_set_is_an_error_that_names_what_is_missing(tmp_path):
    with pytest.raises(DatasetError, match=r"the folder has no sf=1.1_data_images.npy; create one"):
        dataset.load(tmp_path)
    with pytest.raises(DatasetError, match=r"there is neither a folder nor x_images.npy"):
        dataset.load(tmp_path / "x")
    np.save(tmp_path / "x_labels.npy", np.eye(7))
    with pytest.raises(DatasetError, match=r"x_images.npy is missing; gudi prepare writes both"):
        dataset.load(tmp_path / "x")


def test_split_is_the_originals(work):
    from sklearn.model_selection import train_test_split

    data = dataset.load(work / "data")
    kept, held_back = dataset.split(data)
    expected = train_test_split(data.faces, data.labels, random_state=42, test_size=0.1)
    for ours, theirs in zip((kept.faces, held_back.faces, kept.labels, held_back.labels), expected):
        np.testing.assert_array_equal(ours, theirs)


def test_joined_sets_keep_their_faces_in_order():
    grey = dataset.Dataset(np.full((2, 48, 48), 51, np.uint8), np.array([0, 1]))
    unit = dataset.Dataset(np.full((1, 48, 48), 0.3, np.float32), np.array([2]))
    joined = dataset.join([grey, unit])
    assert joined.labels.tolist() == [0, 1, 2]
    assert joined.faces[:, 0, 0].tolist() == pytest.approx([0.2, 0.2, 0.3])
    assert dataset.join([grey]) is grey


def test_soft_labels_are_read_joined_and_split(tmp_path):
    soft = np.full((20, 7), 0.1)
    soft[np.arange(20), np.arange(20) % 7] = 0.4
    for name, labels in (("soft", soft), ("hard", np.eye(7)[np.arange(20) % 7])):
        np.save(tmp_path / f"{name}_images.npy", np.zeros((20, 48, 48), np.uint8))
        np.save(tmp_path / f"{name}_labels.npy", labels)
    sets = [dataset.load(tmp_path / name) for name in ("soft", "hard")]
    np.testing.assert_array_equal(sets[0].labels, np.arange(20) % 7)
    np.testing.assert_allclose(sets[0].targets(), soft)
    assert sets[1].soft_labels is None
    np.testing.assert_array_equal(sets[1].targets(np.array([3])), np.eye(7)[[3]])
    assert sets[0].fingerprint != sets[1].fingerprint
    joined = dataset.join(sets)
    np.testing.assert_allclose(
        joined.targets(), np.concatenate([soft, np.eye(7)[np.arange(20) % 7]])
    )
    kept, held_back = dataset.split(joined)
    assert (len(kept.targets()), len(held_back.targets())) == (36, 4)
    np.testing.assert_array_equal(kept.targets().argmax(axis=1), kept.labels)
