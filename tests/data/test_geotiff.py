from __future__ import annotations

import resource
import signal

import numpy as np
import pytest
import rasterio

from segnoise.data import geotiff

NOISE = np.random.default_rng(0).integers(1, 255, (2, 256, 256)).astype(np.uint8)
PROFILE = {"count": 2, "height": 256, "width": 256, "dtype": "uint8", "blockxsize": 128, "blockysize": 128}


@pytest.fixture
def disk_of():
    """Lets no file grow beyond so many bytes, as a full disk does."""
    handler, limits = signal.signal(signal.SIGXFSZ, signal.SIG_IGN), resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    signal.signal(signal.SIGXFSZ, handler)


def write(path, **profile):
    with geotiff(path, **PROFILE, **profile) as dataset:
        dataset.write(NOISE)


@pytest.mark.parametrize("compress", ["deflate", "none"])
@pytest.mark.parametrize("share", [0.01, 0.5, 0.99, 0.9999])
def test_a_disk_that_fills_at_any_moment_is_an_error(tmp_path, disk_of, compress, share):
    write(tmp_path / "whole.tif", compress=compress)
    disk_of(int((tmp_path / "whole.tif").stat().st_size * share))
    with pytest.raises(OSError, match=r"disk may be full|Write failed"):
        write(tmp_path / "a.tif", compress=compress)


@pytest.mark.parametrize("interleave", ["band", "pixel"])
def test_a_file_that_fits_reads_back(tmp_path, interleave):
    write(tmp_path / "a.tif", interleave=interleave)
    with rasterio.open(tmp_path / "a.tif") as dataset:
        assert np.array_equal(dataset.read(), NOISE)
        assert dataset.profile["tiled"]


def test_blocks_that_nobody_wrote_are_no_error(tmp_path):
    with geotiff(tmp_path / "a.tif", SPARSE_OK=True, **PROFILE) as dataset:
        dataset.write(NOISE[:, :128, :128], window=((0, 128), (0, 128)))
    with rasterio.open(tmp_path / "a.tif") as dataset:
        assert dataset.read()[:, 128:].max() == 0
