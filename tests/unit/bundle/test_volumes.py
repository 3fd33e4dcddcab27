"""Volumes: any tar is cut without a gap into files that are large enough, and not too many."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap.bundle.volumes import Volume, cut
from airgap.errors import UsageError
from airgap.limits import LIMITS


@pytest.mark.parametrize("most", [0, 10, 11, 1 << 40])
def test_a_tar_that_fits_is_one_file_without_a_number(most: int) -> None:
    assert cut(10, most) == (Volume("images.tar", 0, 10),)


def test_a_tar_that_does_not_fit_is_numbered_from_nothing() -> None:
    assert cut(10, 4) == (
        Volume("images.tar.000", 0, 4),
        Volume("images.tar.001", 4, 4),
        Volume("images.tar.002", 8, 2),
    )


def test_volumes_have_the_name_of_their_tar() -> None:
    assert cut(10, 0, "replay.tar") == (Volume("replay.tar", 0, 10),)
    assert [volume.name for volume in cut(10, 5, "replay.tar")] == [
        "replay.tar.000",
        "replay.tar.001",
    ]


def test_the_last_volume_is_full_where_it_comes_out_even() -> None:
    assert [volume.size for volume in cut(12, 4)] == [4, 4, 4]


@given(st.integers(1, 1 << 50), st.integers(1, LIMITS.volumes))
def test_volumes_join_without_a_gap_and_in_the_order_of_their_names(size: int, count: int) -> None:
    most = -(-size // count)
    volumes = cut(size, most)
    position = 0
    for volume in volumes:
        assert volume.start == position
        assert 0 < volume.size <= most
        position += volume.size
    assert position == size
    assert all(volume.size == volumes[0].size for volume in volumes[:-1])
    names = [volume.name for volume in volumes]
    assert names == sorted(set(names))


def test_as_many_volumes_as_are_allowed_are_made_and_no_more() -> None:
    assert cut(LIMITS.volumes * 7, 7)[-1].name == "images.tar.999"
    with pytest.raises(UsageError, match="would have 1001 volumes, and 1000 are the most"):
        cut(LIMITS.volumes * 7 + 1, 7)
