"""Videos: any frame in any order is the frame that was written; what cannot be read is said in one line."""

from __future__ import annotations

import pickle
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from segnoise.data.video import FrameSequence, VideoFile, VideoFrame
from segnoise.errors import UserError
from segnoise.windows import Window
from tests.data.video import video_trees as trees

COUNT = 23


def frames() -> list[np.ndarray]:
    """Each frame has a grey of its own, and a bright left half."""
    found = []
    for k in range(COUNT):
        array = np.full((32, 48, 3), 10 * k + 10, np.uint8)
        array[:, :24] = 255
        found.append(array)
    return found


@pytest.fixture(scope="module", params=["libx264.mp4", "mpeg4.avi", "mjpeg.avi", "ffv1.mkv", "libvpx-vp9.webm"])
def video(request, tmp_path_factory):
    codec = request.param.partition(".")[0]
    pixels = {"mpeg4": "yuv420p", "mjpeg": "yuvj420p"}.get(codec, "yuv444p")
    return trees.write_video(tmp_path_factory.mktemp("video") / request.param, frames(), codec, pixels)


def grey_of(frame: np.ndarray) -> int:
    return round((float(frame[:, :, 30:].mean()) - 10) / 10)


def test_every_frame_is_found_in_any_order(video):
    file = VideoFile(video)
    assert (len(file), file.shape) == (COUNT, (32, 48))
    order = [*range(COUNT), *np.random.default_rng(0).permutation(COUNT).tolist(), 3, 3, 2, COUNT - 1, 0]
    assert [grey_of(file.frame(k)) for k in order] == order


def test_it_reads_the_same_in_another_thread_and_when_pickled(video):
    file = pickle.loads(pickle.dumps(VideoFile(video)))
    with ThreadPoolExecutor(2) as pool:
        assert [grey_of(frame) for frame in pool.map(file.frame, range(COUNT))] == list(range(COUNT))


def test_a_clip_of_a_video_is_read_by_window(video):
    file = VideoFile(video)
    whole = FrameSequence([VideoFrame(file, k) for k in range(0, COUNT, 5)], "v", range(0, COUNT, 5))
    values, seen = whole.read(Window((1, 0, 20), (9, 4, 10)))
    assert whole.shape == (5, 32, 48)
    assert whole.channels == 3
    assert seen[:4].all()
    assert not seen[4:].any()
    np.testing.assert_allclose(values[:, 0, :, 6:], 60, atol=6)
    assert values[:, 0, :, :2].min() > 230


def test_a_truncated_video_is_refused_when_it_is_opened(video, tmp_path):
    content = video.read_bytes()
    cut = tmp_path / video.name
    cut.write_bytes(content[: len(content) * 6 // 10])
    with pytest.raises(UserError, match=r"copy it again") as error:
        VideoFile(cut)
    assert str(error.value).startswith(str(cut))
    assert "\n" not in str(error.value)


def test_a_frame_that_cannot_be_decoded_is_named(tmp_path):
    path = trees.write_video(tmp_path / "v.mp4", frames())
    content = bytearray(path.read_bytes())
    content[len(content) * 35 // 100 : len(content) // 2] = bytes(len(content) // 2 - len(content) * 35 // 100)
    path.write_bytes(content)
    file = VideoFile(path)
    with pytest.raises(UserError, match=r"v\.mp4, frame \d+: cannot be decoded") as error:
        [file.frame(k) for k in range(len(file))]
    assert "\n" not in str(error.value)
    assert grey_of(file.frame(0)) == 0


def test_what_is_no_video_is_said(tmp_path):
    path = tmp_path / "a.mp4"
    with pytest.raises(UserError, match="no such file"):
        VideoFile(path)
    path.write_bytes(b"nothing of the kind" * 100)
    with pytest.raises(UserError, match="is no video that can be read"):
        VideoFile(path)


def test_without_the_extra_its_name_is_told(tmp_path, monkeypatch):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UserError, match=r"pip install segnoise\[video\]"):
        VideoFile(path)
