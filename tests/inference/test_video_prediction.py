"""Sequences frame by frame: masks under the frames' names, in their size, whatever the network saw them in."""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import rasterio
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from segnoise.config import make_config
from segnoise.data import ImageSource, PerImage, RasterSource, Scaling
from segnoise.data.video import FrameSequence, ResizedSource
from segnoise.errors import UserError
from segnoise.inference import error_map_array, predict_array, predict_video
from segnoise.inference.overlayvideo import Shown, film, overlaid
from segnoise.inference.palette import class_colour
from segnoise.inference.smoothing import smoothed
from segnoise.networks import PerFrame
from segnoise.training import Model, load, train
from segnoise.training.system import build_system
from segnoise.windows import Window
from tests.data.video import video_trees as trees

SHAPE = (25, 38)
PLAIN = {"kind": "video", "folder": ".", "classes": ["dark", "bright"], "window": 16, "frames": 2}


class Bright(nn.Module):
    """Sure of class 1 where a frame's first channel is above 100; remembers how many frames it saw at once."""

    classes = ("dark", "bright")
    sides = (2, 16, 16)

    def __init__(self, data=None):
        super().__init__()
        self.seen = set()
        if data is not None:
            self.config = make_config({"data": data})

    def forward(self, x):
        self.seen.add(x.shape[2])
        return torch.stack([(100 - x[:, 0]) / 20, (x[:, 0] - 100) / 20], 1)


def box(k, shape=SHAPE):
    mask = np.zeros(shape, np.uint8)
    mask[5:18, 2 + k : 16 + k] = 1
    return mask


def frame(k, shape=SHAPE):
    return np.repeat((60 + 120 * box(k, shape))[..., None], 3, -1).astype(np.uint8)


def write(folder, numbers, ending=".png"):
    for n in numbers:
        trees.save(folder / f"{n:03d}{ending}", frame(n % 8))
    return folder


def read(path):
    with rasterio.open(path) as src:
        return src.read()


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_folder_of_sequences_gives_a_folder_of_masks_each(tmp_path):
    write(tmp_path / "in" / "a", range(6))
    write(tmp_path / "in" / "deep" / "b", [3, 4], ending=".jpg")
    model = Bright()
    made = predict_video(model, tmp_path / "in", tmp_path / "new" / "out")
    assert files(tmp_path / "new" / "out") == [
        *(f"a/{n:03d}.png" for n in range(6)),
        "deep/b/003.png",
        "deep/b/004.png",
    ]
    for n in range(6):
        image = Image.open(tmp_path / "new" / "out" / "a" / f"{n:03d}.png")
        assert image.mode == "L"
        np.testing.assert_array_equal(np.asarray(image), box(n))
    assert [(one.folder.name, len(one.frames), one.wrong) for one in made] == [("a", 6, None), ("b", 2, None)]
    assert max(model.seen) <= 4


def test_a_video_goes_by_the_numbers_of_its_frames_and_its_overlay_by_its_rate(tmp_path):
    video = trees.write_video(tmp_path / "film.mp4", [frame(k % 8, (24, 38)) for k in range(11)])
    (made,) = predict_video(Bright(), video, tmp_path / "out", overlay=True)
    assert files(tmp_path / "out" / "film") == [f"{k:05d}.png" for k in range(11)]
    for k in range(11):
        np.testing.assert_array_equal(read(tmp_path / "out" / "film" / f"{k:05d}.png")[0], box(k % 8, (24, 38)))
    assert made.overlay == tmp_path / "out" / "film_overlay.mp4"
    shown, rate = decoded(made.overlay)
    assert (len(shown), rate) == (11, 25)
    predict_video(Bright(), video, tmp_path / "slow", overlay=True, fps=2.5)
    assert decoded(tmp_path / "slow" / "film_overlay.mp4")[1] == 2.5


def decoded(path):
    with av.open(str(path)) as container:
        rate = container.streams.video[0].average_rate
        return [picture.to_ndarray(format="rgb24") for picture in container.decode(video=0)], rate


def test_frames_of_one_sequence_may_be_given_one_by_one(tmp_path):
    folder = write(tmp_path / "in" / "a", [2, 9, 10, 11])
    (made,) = predict_video(Bright(), [folder / "010.png", folder / "009.png"], tmp_path / "out")
    assert made.frames == ("009", "010")
    assert files(tmp_path / "out") == ["a/009.png", "a/010.png"]


def untrained(data, channels=3):
    config = make_config({"data": data, "network": {"name": "UNet", "channels": [4, 8], "strides": [2]}})
    torch.manual_seed(1)
    return Model(
        build_system(config, channels, weights=False), Scaling((90.0,) * channels, (60.0,) * channels), config, Path("r")
    ).eval()  # fmt: skip


def test_a_run_that_resizes_frames_answers_in_their_own_size_even_if_it_changes(tmp_path):
    write(tmp_path / "a", range(3))
    trees.save(tmp_path / "a" / "003.png", frame(3, (31, 52)))
    model = untrained({**PLAIN, "size": [16, 20], "window": [16, 20]})
    predict_video(model, tmp_path / "a", tmp_path / "out", scores=True)
    for n, shape in ((0, SHAPE), (2, SHAPE), (3, (31, 52))):
        small = ResizedSource(ImageSource(tmp_path / "a" / f"{n:03d}.png"), (16, 20))
        image = torch.from_numpy(small.read(Window((0, 0), (16, 20)))[0])[None, :, None]
        with torch.no_grad():
            said = model(image).softmax(1)[:, :, 0]
        wanted = nn.functional.interpolate(said, size=shape, mode="bilinear", align_corners=False)[0].numpy()
        got = read(tmp_path / "out" / "a" / f"{n:03d}_scores.tif")
        np.testing.assert_allclose(got, wanted, atol=1e-5)
        np.testing.assert_array_equal(read(tmp_path / "out" / "a" / f"{n:03d}.png")[0], got.argmax(0))


def test_large_frames_go_by_windows_and_each_frame_stays_alone(tmp_path):
    folder = write(tmp_path / "a", range(5))
    model = untrained(PLAIN)
    predict_video(model, folder, tmp_path / "out", scores=True)
    for n in range(5):
        sequence = FrameSequence([ImageSource(folder / f"{n:03d}.png")], "f", [n])
        wanted, _ = predict_array(model, sequence, (1, 16, 16), (0, 4, 4))
        np.testing.assert_allclose(read(tmp_path / "out" / "a" / f"{n:03d}_scores.tif"), wanted[:, 0], atol=1e-5)


def test_values_are_scaled_by_those_of_the_sequence_where_the_run_does_so(tmp_path):
    folder = write(tmp_path / "a", range(5))
    for n in range(5):
        trees.save(folder / f"{n:03d}.png", (frame(n) // (n + 1)))
    model = untrained({**PLAIN, "scaling": {"per": "image"}})
    predict_video(model, folder, tmp_path / "out", scores=True)
    sequence = FrameSequence([ImageSource(folder / f"{n:03d}.png") for n in range(5)], "a", range(5))
    wanted, _ = predict_array(model, PerImage(sequence), (5, 16, 16), (0, 4, 4))
    for n in range(5):
        np.testing.assert_allclose(read(tmp_path / "out" / "a" / f"{n:03d}_scores.tif"), wanted[:, n], atol=1e-5)


def test_where_a_frame_shows_nothing_the_mask_is_255_and_the_scores_nan(tmp_path):
    for n in range(3):
        alpha = np.full((*SHAPE, 1), 255, np.uint8)
        alpha[:, : 4 + n] = 0
        trees.save(tmp_path / "a" / f"{n}.png", np.concatenate([frame(n), alpha], -1))
    for name, data in (("own", None), ("resized", {**PLAIN, "size": [16, 19]})):
        predict_video(Bright(data), tmp_path / "a", tmp_path / name, scores=True, smooth=1)
        for n in range(3):
            hidden = np.zeros(SHAPE, bool)
            hidden[:, : 4 + n] = True
            np.testing.assert_array_equal(read(tmp_path / name / "a" / f"{n}.png")[0] == 255, hidden)
            np.testing.assert_array_equal(np.isnan(read(tmp_path / name / "a" / f"{n}_scores.tif")).all(0), hidden)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 9), st.integers(0, 4), st.integers(0, 2**32 - 1))
def test_smoothing_is_its_equation_and_looks_no_further_than_it_says(count, reach, seed):
    rng = np.random.default_rng(seed)
    p = rng.dirichlet([1, 1, 1], (count, 2, 3)).transpose(0, 3, 1, 2).astype(np.float32)
    observed = rng.random((count, 2, 3)) > 0.3
    taken = []

    def frames():
        for k in range(count):
            taken.append(k)
            yield k, p[k], observed[k]

    for t, (k, said, seen) in enumerate(smoothed(frames(), reach)):
        assert k == t
        assert len(taken) <= min(t + reach + 1, count)
        np.testing.assert_array_equal(seen, observed[t])
        w = np.array([max(0, 1 - abs(d - t) / (reach + 1)) for d in range(count)])[:, None, None] * observed
        some = w.sum(0) > 0
        wanted = np.where(some, (w[:, None] * p).sum(0) / np.where(some, w.sum(0), 1), p[t])
        np.testing.assert_allclose(said, wanted, atol=1e-6)
        np.testing.assert_allclose(said.sum(0), 1, atol=1e-5)


@pytest.mark.parametrize(("stride", "parts"), [(1, [[0, 1, 2], [10, 11]]), (8, [[0, 1, 2, 10, 11]])])
def test_smoothing_never_crosses_a_gap(tmp_path, stride, parts):
    write(tmp_path / "whole" / "a", [n for part in parts for n in part])
    model = Bright({**PLAIN, "stride": stride})
    predict_video(model, tmp_path / "whole", tmp_path / "out", scores=True, smooth=2)
    for part in parts:
        write(tmp_path / str(part[0]) / "a", part)
        predict_video(model, tmp_path / str(part[0]), tmp_path / f"out{part[0]}", scores=True, smooth=2)
        for n in part:
            one, other = (read(tmp_path / o / "a" / f"{n:03d}_scores.tif") for o in ("out", f"out{part[0]}"))
            np.testing.assert_array_equal(one, other)
    predict_video(model, tmp_path / "whole", tmp_path / "plain", scores=True)
    plain, one = (read(tmp_path / o / "a" / "001_scores.tif") for o in ("plain", "out"))
    assert not np.allclose(plain, one)


def test_given_masks_tell_where_they_are_wrong_and_frames_without_one_are_left_out(tmp_path):
    write(tmp_path / "in" / "a", range(4))
    given = {n: box(n) for n in (0, 2, 3)}
    given[2][:5] = 1
    given[3][:] = 255
    for n, mask in given.items():
        trees.save(tmp_path / "given" / "a" / f"m_{n}.png", mask)
    (made,) = predict_video(Bright(), tmp_path / "in", tmp_path / "out", labels=tmp_path / "given", scores=True)
    assert [name for name in files(tmp_path / "out") if "wrong" in name] == [f"a/00{n}_wrong.tif" for n in (0, 2, 3)]
    maps = {n: read(tmp_path / "out" / "a" / f"00{n}_wrong.tif")[0] for n in given}
    for n, mask in given.items():
        scores = read(tmp_path / "out" / "a" / f"00{n}_scores.tif")
        np.testing.assert_allclose(maps[n], error_map_array(scores, mask.astype(int), rho=0.5), atol=1e-6)
    assert made.wrong.labels == 2 * box(0).size
    assert made.wrong.expected == pytest.approx(sum(np.nansum(m, dtype=float) for m in maps.values()))
    assert maps[2][:5].mean() > 0.5 > maps[2][8:].mean()


def test_masks_are_read_as_those_of_the_run(tmp_path):
    write(tmp_path / "a", range(2))
    for n in range(2):
        trees.save(tmp_path / "grey" / f"{n}.png", 200 * box(n))
        trees.save(tmp_path / "jpeg" / f"{n}.jpg", 255 * box(n), quality=70)
    grey = {**PLAIN, "masks": "values", "values": {0: 0, 200: 1}}
    polyps = {**PLAIN, "layout": "polypgen"}
    for name, data in (("grey", grey), ("jpeg", polyps)):
        (made,) = predict_video(Bright(data), tmp_path / "a", tmp_path / f"out_{name}", labels=tmp_path / name)
        assert made.wrong.expected < 0.05 * made.wrong.labels
    with pytest.raises(UserError, match=r"0\.png: class value 200 is outside"):
        predict_video(
            Bright({**PLAIN, "classes": ["a", "b"]}), tmp_path / "a", tmp_path / "o", labels=tmp_path / "grey"
        )


def test_the_border_that_training_cuts_from_endovis_2017_is_unknown(tmp_path):
    place = tmp_path / "set" / "instrument_dataset_2"
    trees.save(place / "left_frames" / "frame001.png", np.full((1080, 1920, 3), 40, np.uint8))
    trees.save(place / "ground_truth" / "Prograsp_Forceps_labels" / "frame001.png", np.zeros((1080, 1920), np.uint8))
    model = Bright({**PLAIN, "layout": "endovis17", "target": "binary", "window": 512})
    model.sides = (2, 512, 512)
    for name, where, labels in (("a", tmp_path / "set", None), ("b", place / "left_frames", place)):
        (made,) = predict_video(model, where, tmp_path / name, labels=labels, overlay=name == "a")
        assert made.folder == tmp_path / name / "instrument_dataset_2"
        mask = read(made.folder / "frame001.png")[0]
        assert mask.shape == (1080, 1920)
        assert set(np.unique(mask[28:1052, 320:1600])) == {0}
        mask[28:1052, 320:1600] = 255
        assert (mask == 255).all()
    assert made.wrong.labels == 1024 * 1280
    assert np.isnan(read(made.folder / "frame001_wrong.tif")[0, :28]).all()
    with pytest.raises(UserError, match="lie beside its frames"):
        predict_video(model, place, tmp_path / "c", labels=tmp_path)


def test_frames_on_the_earth_get_masks_on_their_grid(tmp_path):
    place = {"crs": "EPSG:32736", "transform": rasterio.Affine(10, 0, 5e5, 0, -10, 9e6)}
    (tmp_path / "s").mkdir()
    for n in range(3):
        with rasterio.open(
            tmp_path / "s" / f"t{n}.tif", "w", driver="GTiff", height=25, width=38, count=3, dtype="uint8", **place
        ) as dst:
            dst.write(np.moveaxis(frame(n), -1, 0))
    predict_video(Bright(), tmp_path / "s", tmp_path / "out", overlay=True)
    assert files(tmp_path / "out") == ["s/t0.tif", "s/t1.tif", "s/t2.tif", "s_overlay.mp4"]
    assert RasterSource(tmp_path / "out" / "s" / "t1.tif").geobox == RasterSource(tmp_path / "s" / "t1.tif").geobox
    np.testing.assert_array_equal(read(tmp_path / "out" / "s" / "t1.tif")[0], box(1))


def test_the_overlay_has_even_sides_and_the_colours_of_the_report(tmp_path):
    for n in range(4):
        shape = (120, 181) if n < 2 else (60, 91)
        mask = np.zeros(shape, np.uint8)
        mask[shape[0] // 4 : shape[0] // 2, shape[1] // 4 : shape[1] // 2] = 1
        trees.save(tmp_path / "a" / f"{n}.png", np.repeat((60 + 120 * mask)[..., None], 3, -1))
    predict_video(Bright({**PLAIN, "size": [60, 90]}), tmp_path / "a", tmp_path / "out", overlay=True)
    shown, rate = decoded(tmp_path / "out" / "a_overlay.mp4")
    assert (len(shown), rate) == (4, 10)
    colour = np.array(list(bytes.fromhex(class_colour(1)[1:])))
    for picture in shown:
        assert picture.shape == (120, 182, 3)
        np.testing.assert_allclose(picture[45, 68], 0.62 * 180 + 0.38 * colour, atol=12)
        np.testing.assert_allclose(picture[100, 150], 60, atol=8)


def test_classes_are_tinted_inside_and_drawn_fully_at_their_edge():
    labels = np.zeros((12, 12), np.uint8)
    labels[2:9, 2:9], labels[4:7, 6:9], labels[10:] = 1, 2, 255
    drawn = overlaid(np.full((12, 12, 3), 90, np.uint8), labels)
    for k in (1, 2):
        colour = np.array(list(bytes.fromhex(class_colour(k)[1:])))
        edge = (drawn == colour).all(-1)
        assert edge.any()
        assert set(labels[edge]) == {k}
    colour = np.array(list(bytes.fromhex(class_colour(1)[1:])))
    np.testing.assert_array_equal(drawn[3, 3], (0.62 * 90 + 0.38 * colour).round())
    assert (drawn[(labels == 0) | (labels == 255)] == 90).all()


def test_frames_of_more_than_8_bits_are_stretched_alike():
    shown, seen = Shown(), np.ones((1, 101), bool)
    ramp = np.arange(101, dtype=np.float32)[None, None] * 100
    first = shown(ramp, seen, "uint16")
    assert first.shape == (1, 101, 3)
    assert (first[0, 0, 0], first[0, 50, 0], first[0, 100, 0]) == (0, 128, 255)
    np.testing.assert_array_equal(shown(ramp / 2, seen, "uint16")[0, 100], first[0, 50])
    four = np.stack([np.full((1, 1), v, np.float32) for v in (1, 2, 3, 4)])
    assert Shown()(four, np.ones((1, 1), bool), "uint8")[0, 0].tolist() == [3, 2, 1]


def test_a_build_without_h264_writes_mpeg_4(tmp_path, monkeypatch):
    monkeypatch.setattr("segnoise.inference.overlayvideo._H264", "nothing_of_this_name")
    with film(tmp_path / "v.mp4", Fraction(30000, 1001)) as add:
        for k in range(5):
            add(frame(k, (48, 65)))
    with av.open(str(tmp_path / "v.mp4")) as container:
        assert container.streams.video[0].codec_context.name == "mpeg4"
        assert container.streams.video[0].average_rate == Fraction(30000, 1001)
        assert len(list(container.decode(video=0))) == 5


def test_a_long_sequence_is_never_held_as_a_whole(tmp_path, monkeypatch):
    import segnoise.inference.video as video

    folder, ahead, done = write(tmp_path / "a", range(40)), [], []
    real = video._read

    def counted(*arguments):
        done.append(1)
        ahead.append(len(done) - len(list((tmp_path / "out").rglob("*.png"))))
        return real(*arguments)

    monkeypatch.setattr(video, "_read", counted)
    predict_video(Bright(), folder, tmp_path / "out", smooth=3)
    assert len(done) == 40
    assert max(ahead) <= 2 * 4 + 3 + 1


class TestWhatIsRefused:
    @pytest.fixture
    def frames(self, tmp_path):
        return write(tmp_path / "in" / "a", range(12))

    def test_an_output_that_is_there_but_not_with_overwrite(self, frames, tmp_path):
        predict_video(Bright(), frames, tmp_path / "out", overlay=True)
        before = files(tmp_path / "out")
        with pytest.raises(UserError, match=r"out/a: already exists; give another name or --overwrite"):
            predict_video(Bright(), frames, tmp_path / "out")
        predict_video(Bright(), frames, tmp_path / "out", overlay=True, overwrite=True)
        assert files(tmp_path / "out") == before
        (tmp_path / "file").touch()
        with pytest.raises(UserError, match="file: is a file"):
            predict_video(Bright(), frames, tmp_path / "file")

    def test_an_output_among_what_is_read_whatever_overwrite_says(self, frames, tmp_path):
        before = [(tmp_path / "in" / name).read_bytes() for name in files(tmp_path / "in")]
        for where, out in ((frames, frames.parent), (frames, frames / "masks"), (frames.parent, frames.parent)):
            with pytest.raises(UserError, match=r"lies in .*, which is read|is where the frames are"):
                predict_video(Bright(), where, out, overwrite=True)
        with pytest.raises(UserError, match="which is read"):
            predict_video(
                Bright(), frames, tmp_path / "given", labels=mkdir(tmp_path / "given", frames), overwrite=True
            )
        assert before == [(tmp_path / "in" / name).read_bytes() for name in files(tmp_path / "in")]

    def test_a_frame_that_cannot_be_read_and_what_was_written_before_it_stays(self, frames, tmp_path):
        broken = frames / "009.png"
        broken.write_bytes(b"".join([broken.read_bytes()[:60], bytes(40), broken.read_bytes()[100:]]))
        with pytest.raises(UserError, match=r"009\.png") as error:
            predict_video(Bright(), frames, tmp_path / "out", overlay=True, scores=True)
        assert "\n" not in str(error.value)
        wanted = [f"a/00{n}{end}" for n in range(8) for end in (".png", "_scores.tif")]
        assert files(tmp_path / "out") == wanted
        np.testing.assert_array_equal(read(tmp_path / "out" / "a" / "007.png")[0], box(7))

    def test_frames_that_do_not_fit(self, frames, tmp_path):
        with pytest.raises(UserError, match=r"000\.png: has 3 bands, but the model was trained on 1"):
            predict_video(untrained(PLAIN, channels=1), frames, tmp_path / "out")
        trees.save(frames / "005.png", frame(5, (30, 30)))
        with pytest.raises(UserError, match=r"005\.png: is 30 x 30 px, but .*000\.png"):
            predict_video(Bright(), frames, tmp_path / "out")
        trees.save(frames / "0001.png", frame(1))
        with pytest.raises(UserError, match="frame number 1 of"):
            predict_video(Bright(), frames, tmp_path / "out")
        assert files(tmp_path) == [name for name in files(tmp_path) if name.startswith("in/")]

    def test_names_that_would_fall_together(self, frames, tmp_path):
        trees.save(frames / "005.jpg", frame(5))
        with pytest.raises(UserError, match="two frames of a have its name"):
            predict_video(Bright({**PLAIN, "numbers": "order"}), frames, tmp_path / "out")
        (frames / "005.jpg").unlink()
        trees.write_video(tmp_path / "in" / "a.mp4", [frame(0, (24, 38))] * 12)
        with pytest.raises(UserError, match="two sequences called a"):
            predict_video(Bright(), tmp_path / "in", tmp_path / "out")

    def test_a_run_of_another_kind_and_things_that_are_no_sequence(self, frames, tmp_path):
        data = {"kind": "images", "images": ["a.png"], "labels": "b.png", "classes": ["a", "b"]}
        with pytest.raises(UserError, match="kind images, not on sequences"):
            predict_video(Bright(data), frames, tmp_path / "out")
        (tmp_path / "empty").mkdir()
        with pytest.raises(UserError, match="holds no frame, video or volume"):
            predict_video(Bright(), tmp_path / "empty", tmp_path / "out")
        (tmp_path / "v.nii.gz").touch()
        with pytest.raises(UserError, match=r"v\.nii\.gz: is a volume"):
            predict_video(Bright(), tmp_path / "v.nii.gz", tmp_path / "out")
        for wrong in ({"smooth": -1}, {"fps": 0.0}, {"overlap": 16}):
            with pytest.raises(UserError, match=next(iter(wrong))):
                predict_video(Bright(), frames, tmp_path / "out", **wrong)

    def test_an_overlay_without_the_library_that_writes_it(self, frames, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "av", None)
        with pytest.raises(UserError, match=r"needs PyAV; pip install segnoise\[video\]"):
            predict_video(Bright(), frames, tmp_path / "out", overlay=True)
        assert not (tmp_path / "out").exists()
        predict_video(Bright(), frames, tmp_path / "out")


def mkdir(path, like):
    """A folder of masks called as the frames are."""
    for name in files(like):
        trees.save(path / name, box(0))
    return path


def test_a_network_for_images_may_be_wrapped(tmp_path):
    class Still(nn.Module):
        def forward(self, x):
            return torch.stack([100 - x[:, 0], x[:, 0] - 100], 1)

    write(tmp_path / "a", range(2))
    (made,) = predict_video(PerFrame(Still()), tmp_path / "a", tmp_path / "out")
    np.testing.assert_array_equal(read(made.folder / "001.png")[0], box(1))


def test_the_command_writes_all_of_it(segnoise, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trees.write_frames(tmp_path, {f"s{k}": range(4) for k in range(4)}, (32, 40))
    data = {"kind": "video", "folder": ".", "classes": ["none", "box"], "frames": 2, "window": 16}
    config = {
        "data": {**data, "samples_per_epoch": 2}, "network": {"name": "UNet", "channels": [4, 8], "strides": [2]},
        "training": {"epochs": 1, "batch_size": 2, "accelerator": "cpu"},
    }  # fmt: skip
    train(make_config(config, base=tmp_path), tmp_path / "run", quiet=True)
    predict = ("predict", "run", "images", "-o", "out")
    code, said, err = segnoise(*predict, "--labels", "labels", "--scores", "--overlay", "--fps", "5", "--smooth", "1")
    assert (code, err) == (0, "")
    lines = said.splitlines()
    assert lines[0] == "out/s0: written"
    assert lines[1].startswith("out/s0/*_wrong.tif: ")
    assert lines[1].endswith(f" of {4 * 32 * 40} pixels of labels are expected to be wrong")
    assert lines[2] == "out/s0_overlay.mp4: written"
    assert len(lines) == 12
    assert len(files(tmp_path / "out")) == 4 * (4 * 3 + 1)
    model = load("run")
    predict_video(model, "images", "again", smooth=1)
    for name in files(tmp_path / "again"):
        np.testing.assert_array_equal(read(tmp_path / "again" / name), read(tmp_path / "out" / name))
    code, said, err = segnoise(*predict)
    assert (code, said) == (1, "")
    assert err == "error: out/s0: already exists; give another name or --overwrite\n"
    assert segnoise(*predict, "--overwrite", "--quiet") == (0, "", "")
    code, said, err = segnoise("predict", "run", "images/s1", "-o", "one", "--labels", "labels")
    assert (code, err, said.splitlines()[0]) == (0, "", "one/s1: written")
    assert (
        segnoise(*predict, "--fps", "5", "--overwrite")[2] == "error: --fps: is for the overlay; give --overlay too\n"
    )


def test_options_for_sequences_are_refused_for_other_runs(segnoise, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trees.save(tmp_path / "a.png", frame(0))
    data = {"kind": "images", "images": ["a.png"], "labels": "b.png", "classes": ["a", "b"]}
    monkeypatch.setattr("segnoise.training.load", lambda *_: untrained(data))
    for option in (["--overlay"], ["--smooth", "1"], ["--fps", "5"]):
        code, said, err = segnoise("predict", "run", "a.png", "-o", "o.png", *option)
        assert (code, said) == (1, "")
        assert "are for sequences of frames; this run is on images" in err
