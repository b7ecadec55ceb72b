"""Fundus and OCT sets as they are laid out, through to samples, training and masks."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
import torch

from segnoise.config import make_config
from segnoise.data import WindowDataset, collate
from segnoise.errors import UserError
from segnoise.inference import predict_image
from segnoise.training import Run, load, prepare, train
from segnoise.training.opening import open_data
from segnoise.windows import Window
from tests.data import fundus_trees
from tests.data.oct import oct_trees

TINY = {
    "network": {"name": "BasicUNet", "features": [4, 4, 8, 8, 8, 4]},
    "training": {"epochs": 1, "batch_size": 4, "accelerator": "cpu"},
}


def whole(labels):
    return labels.read(Window((0, 0), labels.shape))


def opened(folder, **data):
    return open_data(make_config({"data": {"folder": str(folder), **data}}), Run(folder / "run"))


@pytest.mark.parametrize(
    ("write", "layout", "classes", "count"),
    [
        (fundus_trees.write_drive, "drive", ["background", "vessel"], 2),  # its test images have no labels
        (fundus_trees.write_chase, "chase", ["background", "vessel"], 4),
        (fundus_trees.write_refuge, "refuge", ["background", "rim", "cup"], 3),
        (fundus_trees.write_plain, "plain", ["background", "vessel"], 3),
    ],
)
@pytest.mark.parametrize("named", [True, False])
def test_fundus_sets_are_opened_with_what_they_say_of_patients_and_splits(
    tmp_path, write, layout, classes, count, named
):
    write(tmp_path)
    items = opened(tmp_path, kind="fundus", layout=layout if named else "auto", classes=classes)
    assert len(items) == count
    if layout == "chase":
        assert {item.group for item in items} == {"01", "14"}
    if layout == "refuge":
        assert {item.split for item in items} == {"train", "val"}
        assert set(np.unique(whole(items[0].labels))) == {0, 1, 2}
    if layout == "drive":
        outside = ~fundus_trees.disc()
        assert (whole(items[0].labels)[outside] == 255).all()


def test_children_are_never_on_both_sides(tmp_path):
    fundus_trees.write_chase(tmp_path)
    raw = {
        "data": {
            "kind": "fundus", "folder": str(tmp_path), "window": 16, "split": {"by": "source", "fractions": {"train": 0.5, "val": 0.5}},
        }
    }  # fmt: skip
    prepared = prepare(make_config(raw), Run(tmp_path / "run"))
    child = {name: {prepared.sources[r.index].name[:8] for r in regions} for name, regions in prepared.regions.items()}
    assert not child["train"] & child["val"]
    assert len(child["train"]) == len(child["val"]) == 1


def test_a_set_trains_and_its_masks_have_the_size_of_the_photographs(tmp_path):
    fundus_trees.write_plain(tmp_path, black_and_white=True)
    raw = {
        "data": {
            "kind": "fundus", "folder": str(tmp_path), "layout": "plain", "values": {0: 0, 255: 1}, "window": 16,
            "derive_fov": True, "samples_per_epoch": 8,
        },
        **TINY,
    }  # fmt: skip
    run = train(make_config(raw), tmp_path / "run", quiet=True)
    model = load(run)
    photograph = tmp_path / "images" / "eye10.png"
    out = predict_image(model, photograph, tmp_path / "mask.png").path
    with rasterio.open(out) as dst:
        mask = dst.read(1)
    assert mask.shape == fundus_trees.SHAPE
    assert (mask[0] == 255).all()  # beyond the field of view
    assert set(np.unique(mask)) <= {0, 1, 255}


def test_classes_that_a_set_does_not_have_are_told(tmp_path):
    fundus_trees.write_refuge(tmp_path)
    with pytest.raises(UserError, match=r"data\.classes: background, vessel, but .* has background, rim, cup"):
        opened(tmp_path, kind="fundus")


def test_duke_opens_as_fluid_or_layers_with_its_subjects(tmp_path):
    oct_trees.write_duke(tmp_path)
    items = opened(tmp_path, kind="oct", layout="duke")
    assert {item.group for item in items} == {item.source.name.split("/")[0] for item in items}
    assert len({item.group for item in items}) == 3
    with pytest.raises(UserError, match=r"data\.classes: background, fluid, but .* has vitreous"):
        opened(tmp_path, kind="oct", layout="duke", target="layers")


class TestLabelsOfImages:
    """Sets that say of an image what is in it, and not where."""

    def prepared(self, folder, window):
        data = {
            "kind": "oct", "folder": str(folder), "layout": "olives", "classes": ["background", "Fluid (IRF)", "IR HRF"],
            "window": window, "split": {"by": "source", "fractions": {"train": 0.5, "val": 0.5}},
        }  # fmt: skip
        return prepare(make_config({"data": data}), Run(folder / f"run{window}"))

    def test_they_come_with_the_samples_and_pixels_stay_unknown(self, tmp_path):
        oct_trees.write_olives(tmp_path)
        prepared = self.prepared(tmp_path, 16)
        assert prepared.image_labels is not None
        assert all(len(told) == 3 and np.isnan(told[0]) for told in prepared.image_labels)
        assert all((whole(labels) == 255).all() for labels in prepared.given)

    def test_a_window_knows_what_is_nowhere_but_not_that_it_holds_what_is_somewhere(self, tmp_path):
        oct_trees.write_olives(tmp_path)
        prepared = self.prepared(tmp_path, 16)
        assert prepared.sources[0].shape == (6, 8)
        for window, covers in (((4, 4), False), ((16, 16), True)):
            data = WindowDataset(
                prepared.sources, prepared.given, [r for rs in prepared.regions.values() for r in rs], window,
                prepared.scaling, seed=0, image_labels=prepared.image_labels,
            )  # fmt: skip
            batch = collate([data[0, k] for k in range(len(data))])
            for labels, index in zip(batch["labels"], batch["index"], strict=True):
                told = torch.tensor(prepared.image_labels[index])
                wanted = told if covers else torch.where(told > 0, torch.nan, told)
                torch.testing.assert_close(labels, wanted.float(), equal_nan=True)
