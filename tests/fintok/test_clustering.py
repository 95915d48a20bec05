import numpy as np
import pytest

from fintok.clustering import kmeans, squared_distances


def blobs(rng, per_blob=60):
    centres = np.array([[0.0, 0.0, 1.0], [5.0, 0.0, 0.0], [0.0, 5.0, 0.0], [4.0, 4.0, 4.0]])
    rows = np.concatenate([c + 0.1 * rng.standard_normal((per_blob, 3)) for c in centres])
    return rows, centres, np.repeat(np.arange(4), per_blob)


def test_kmeans_finds_separate_blobs():
    rows, centres, truth = blobs(np.random.default_rng(0))
    found = kmeans(rows, 4, np.random.default_rng(1))
    match = squared_distances(centres, found.centres).argmin(axis=1)
    assert sorted(match) == [0, 1, 2, 3]
    np.testing.assert_array_equal(match[truth], found.labels)
    np.testing.assert_allclose(found.centres[match], centres, atol=0.1)


def test_kmeans_matches_the_definition_of_inertia_and_is_a_fixed_point():
    rows = np.random.default_rng(0).standard_normal((200, 5)) + 100.0
    found = kmeans(rows, 7, np.random.default_rng(0))
    distances = squared_distances(rows, found.centres)
    np.testing.assert_array_equal(found.labels, distances.argmin(axis=1))
    assert found.inertia == pytest.approx(distances.min(axis=1).sum())
    means = np.array([rows[found.labels == k].mean(axis=0) for k in range(7)])
    np.testing.assert_allclose(found.centres, means)


def test_the_same_seed_gives_the_same_clusters():
    rows = np.random.default_rng(0).standard_normal((300, 4))
    one, other = (kmeans(rows, 5, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(one.centres, other.centres)


def test_thinned_seeding_polishes_on_all_rows():
    rows, _, truth = blobs(np.random.default_rng(0), per_blob=500)
    found = kmeans(rows, 4, np.random.default_rng(0), max_seeding_rows=100)
    assert len(found.labels) == len(rows)
    assert len(np.unique(found.labels[truth == 2])) == 1


def test_copies_of_one_row_do_not_break_it():
    found = kmeans(np.ones((10, 3)), 3, np.random.default_rng(0))
    assert found.inertia == 0.0
    np.testing.assert_array_equal(found.centres, np.ones((3, 3)))


def test_too_few_rows_are_refused():
    with pytest.raises(ValueError, match="at least 4 rows"):
        kmeans(np.ones((3, 2)), 4, np.random.default_rng(0))


def test_distances_of_a_row_do_not_depend_on_rows_after_it():
    rng = np.random.default_rng(0)
    rows, centres = rng.random((1001, 67)).astype(np.float32), rng.random((4, 67))
    whole = squared_distances(rows, centres)
    for length in (1, 2, 333, 1000):
        np.testing.assert_array_equal(squared_distances(rows[:length], centres), whole[:length])
