"""The section ``data``: where samples come from, one class for each kind."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator, model_validator

from segnoise.config.section import Section


class Split(Section):
    """How samples are divided into training, validation and test."""

    by: Literal["block", "source", "table"] = Field(
        "block",
        description="block: squares of each scene; source: whole scenes or images; table: the column `split` of the "
        "labels table, or what a public set states; where that has no val, train is dealt to train and val",
    )
    fractions: dict[Literal["train", "val", "test"], float] = Field(
        {"train": 0.7, "val": 0.15, "test": 0.15}, description="Shares of the blocks or sources; they sum to 1"
    )
    group: str | None = Field(
        None,
        description="A regular expression on the images' names without suffix; images for which its first bracket (or "
        "all of it) matches the same text stay together, such as the slices of a patient. With source they are dealt "
        "together, with table it is refused if they are not",
    )
    allow_shared_groups: bool = Field(
        False,
        description="With table: train although a group is in two parts, such as a patient in a published split; "
        "scores are then too good",
    )
    seed: int | None = Field(None, ge=0, description="Seed of the deal; by default the run's own")
    fold: str | None = Field(
        None,
        pattern=r"^[0-9]+/[0-9]+$",
        description="PART/PARTS, such as 1/3: the test part is this part of all, for each of the parts in turn; "
        "training and validation share the rest as their fractions say",
    )

    @field_validator("group")
    @classmethod
    def _expression(cls, group: str | None) -> str | None:
        try:
            re.compile(group or "")
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from error
        return group

    @model_validator(mode="after")
    def _group_of_sources(self) -> Split:
        if self.group is not None and self.by == "block":
            raise ValueError("group goes with by: source or by: table, not by: block")
        return self

    @model_validator(mode="after")
    def _shared_where_it_can_be(self) -> Split:
        if self.allow_shared_groups and self.by != "table":
            raise ValueError(f"allow_shared_groups goes with by: table; by: {self.by} shares none")
        return self

    @model_validator(mode="after")
    def _fold_of_what_is_dealt(self) -> Split:
        if self.fold is not None and self.by == "table":
            raise ValueError("fold goes with by: block or by: source; a table says what is what already")
        return self

    @model_validator(mode="after")
    def _sum_to_one(self) -> Split:
        if abs(sum(self.fractions.values()) - 1) > 1e-6 or min(self.fractions.values()) < 0:
            raise ValueError(f"fractions {self.fractions} must not be negative and must sum to 1")
        if self.fractions.get("train", 0) == 0 or self.fractions.get("val", 0) == 0:
            raise ValueError("fractions: train and val must be above 0")
        return self


class Scaling(Section):
    """How raw pixel values become network inputs."""

    kind: Literal["standardise", "percentile", "divide"] = Field(
        "standardise",
        description="standardise: mean 0, deviation 1 per band; percentile: the 2nd to the 98th become 0 to 1; divide",
    )
    divide: float | None = Field(None, gt=0, description="The divisor of kind divide")
    per: Literal["set", "image"] = Field(
        "set",
        description="set: measured over all that is trained on; image: over each image or volume, where their values "
        "have no common unit, such as MR",
    )

    @model_validator(mode="after")
    def _divisor(self) -> Scaling:
        if (self.kind == "divide") != (self.divide is not None):
            raise ValueError("divide is needed by kind divide, and only there")
        if self.divide is not None and self.per == "image":
            raise ValueError("divide is one number for all images; leave per: image out")
        return self


class _Windows(Section):
    classes: list[str] = Field(min_length=2, max_length=255, description="Class names; label k is the k-th, from 0")
    window: int | tuple[int, int] | tuple[int, int, int] = 256
    split: Split = Field(Split(), description="Training, validation and test parts, see below")
    scaling: Scaling = Field(Scaling(), description="From raw values to inputs, see below")
    augment: bool = Field(True, description="Flips and quarter turns")
    photometric: float = Field(0.1, ge=0, le=1, description="Strength of brightness, contrast and noise changes")
    samples_per_epoch: int | None = Field(
        None, ge=1, description="Crops in an epoch; by default as many as there are non-overlapping windows"
    )

    @property
    def dimensions(self) -> int:
        """Axes of what the network sees."""
        return 2

    @property
    def sides(self) -> tuple[int, ...]:
        """Of a training crop."""
        return (self.window,) * self.dimensions if isinstance(self.window, int) else self.window

    @property
    def still(self) -> int:
        """How many of the first axes of a crop are time, which augmentation leaves alone."""
        return 0

    @field_validator("classes")
    @classmethod
    def _unique(cls, classes: list[str]) -> list[str]:
        if len(set(classes)) != len(classes):
            raise ValueError("class names must differ")
        return classes


class RasterData(_Windows):
    """Georeferenced scenes with labels as polygons or as rasters on the same grid."""

    kind: Literal["raster"] = Field(description="Georeferenced scenes")
    images: list[str] = Field(min_length=1, description="Paths or globs of GeoTIFF, COG or VRT files")
    labels: str | list[str] = Field(
        description="A vector file for all scenes, a folder, glob or list with one file a scene, or a CSV table with "
        "the columns image, label and optionally split"
    )
    classes: list[str] = Field(
        ["background", "field"],
        min_length=2,
        max_length=255,
        description="Class names; label k is the k-th, from 0",
    )
    window: int = Field(256, ge=16, le=4096, description="Side of the training crops in pixels")
    bands: list[int] | None = Field(None, min_length=1, description="Bands to use, from 1; all by default")
    edge_px: Literal[1, 2] = Field(1, description="Width of the boundary class made from polygons")


class ImageData(_Windows):
    """Images without coordinates (PNG, JPEG, TIFF) and masks of class indices."""

    kind: Literal["images"] = Field(description="Plain images")
    images: list[str] = Field(min_length=1, description="Paths or globs")
    window: int = Field(256, ge=16, le=4096, description="Side of the training crops in pixels")
    labels: str | list[str] = Field(description="Folder, glob or list of masks with the same stems, or a CSV table")
    split: Split = Field(Split(by="source"), description="Training, validation and test parts, see below")


class Slices(Section):
    """Volumes as stacks of 2-D images."""

    axis: Literal[0, 1, 2] = Field(2, description="The axis that is cut, in the order of the affine's columns")
    neighbours: int = Field(0, ge=0, le=8, description="Slices on either side that are further channels (2.5-D)")


class VolumeData(_Windows):
    """Medical volumes: NIfTI, NRRD, MetaImage, DICOM series, TIFF stacks, folders of slices."""

    kind: Literal["volume"] = Field(description="Medical volumes")
    images: list[str] = Field(
        min_length=1,
        description="Paths or patterns of files and folders, FOLDER#SERIES_UID for one of several DICOM series, or the "
        "dataset.json of an nnU-Net data set",
    )
    labels: str | list[str] | None = Field(
        None,
        description="A folder, pattern or list of volumes with the same names, or a CSV table; an nnU-Net data set has "
        "its own; volumes that slice_labels speak of need none",
    )
    slice_labels: str | None = Field(
        None,
        description="A CSV table of what slices hold: image, slice (as in the file, from 0, along the axis that is "
        "cut, or for 3-D crops along the file's last; without this column labels are of whole volumes), and a column a "
        "class with 1, 0 or empty (unknown); for method image_labels",
    )
    window: int | tuple[int, int] | tuple[int, int, int] = Field(
        64, description="Sides of the training crops in voxels: one number, or one an axis"
    )
    split: Split = Field(Split(by="source"), description="Training, validation and test parts, see below")
    scaling: Scaling = Field(Scaling(per="image"), description="From raw values to inputs, see below")
    orientation: str | None = Field(
        "RAS", pattern="^[RLAPSI]{3}$", description="Where axes point while training and predicting; null as stored"
    )
    spacing: tuple[float, float, float] | None = Field(
        None, description="Millimetres per voxel while training and predicting; null as stored"
    )
    slices: Slices | None = Field(None, description="2-D images cut from the volumes, see below; null for 3-D crops")
    augment: bool = Field(
        False, description="Flips and quarter turns; volumes lie alike, and left and right, front and back differ"
    )
    foreground: float = Field(
        0.5, ge=0, le=1, description="Share of training crops that are laid around a voxel that is not class 0"
    )

    @property
    def dimensions(self) -> int:
        return 3 if self.slices is None else 2

    @field_validator("window")
    @classmethod
    def _sides(cls, window: int | tuple[int, ...]) -> int | tuple[int, ...]:
        for side in [window] if isinstance(window, int) else window:
            if not 4 <= side <= 4096:
                raise ValueError(f"a side of {side} is not between 4 and 4096")
        return window

    @field_validator("spacing")
    @classmethod
    def _positive(cls, spacing: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if spacing is not None and not all(0 < s < 1e4 for s in spacing):
            raise ValueError("millimetres must be positive")
        return spacing

    @model_validator(mode="after")
    def _a_side_an_axis(self) -> VolumeData:
        if not isinstance(self.window, int) and len(self.window) != self.dimensions:
            raise ValueError(f"window: {len(self.window)} sides for crops of {self.dimensions} axes")
        if self.split.by == "block":
            raise ValueError("split.by: volumes are dealt whole (source, or table); a patient is never cut")
        return self


class FundusData(_Windows):
    """Photographs of the retina in the folders of a public set, or plain folders."""

    kind: Literal["fundus"] = Field(description="Photographs of the retina")
    folder: str = Field(description="The folder of the set")
    layout: Literal["auto", "drive", "chase", "refuge", "plain"] = Field(
        "auto", description="How it is laid out; plain: images/ with masks/ or labels/, and fov/ if there is one"
    )
    observer: Literal[1, 2] = Field(1, description="Whose vessels (DRIVE, CHASE_DB1)")
    values: dict[int, int] | None = Field(
        None, description="For plain masks of grey values: which value is which class, such as {0: 0, 255: 1}"
    )
    derive_fov: bool = Field(False, description="Find the field of view where no file tells it; outside is unknown")
    classes: list[str] = Field(
        ["background", "vessel"], min_length=2, max_length=255, description="Class names, as the set has them"
    )
    window: int = Field(256, ge=16, le=4096, description="Side of the training crops in pixels")
    split: Split = Field(Split(by="source"), description="Training, validation and test parts, see below")


class OctData(_Windows):
    """Optical coherence tomography: B-scans of a public set, or plain folders of them."""

    kind: Literal["oct"] = Field(description="OCT B-scans")
    folder: str = Field(description="The folder of the set")
    layout: Literal["duke", "retouch", "bscans", "olives"] = Field(
        "bscans", description="How it is laid out; bscans: folders images and masks; olives has labels of images only"
    )
    target: Literal["fluid", "layers"] = Field("fluid", description="What Duke's labels show")
    observer: Literal[1, 2] = Field(1, description="Whose labels (Duke)")
    classes: list[str] = Field(
        ["background", "fluid"], min_length=2, max_length=255, description="Class names, as the set has them"
    )
    window: int | tuple[int, int] = Field(
        256, description="Sides of the training crops: one number, or depth and width"
    )
    augment: bool = Field(False, description="Flips and quarter turns; up and down differ in OCT")
    split: Split = Field(Split(by="source"), description="Training, validation and test parts, see below")
    scaling: Scaling = Field(Scaling(per="image"), description="From raw values to inputs, see below")


class VideoData(_Windows):
    """Sequences of frames: folders of frames, videos, time series of rasters, neighbouring slices of volumes."""

    kind: Literal["video"] = Field(description="Sequences of frames; a sample is a clip")
    folder: str | None = Field(
        None, description="The folder of the set; of layout frames one with images/ and labels/ or masks/"
    )
    images: list[str] | None = Field(
        None,
        min_length=1,
        description="Instead, for layout frames: folders or patterns of frames (a folder a sequence), of videos, or of "
        "volumes",
    )
    labels: str | list[str] | None = Field(
        None,
        description="Their masks: a folder that holds, for each sequence, a folder of its name with masks of the same "
        "frame numbers (for a volume, a volume of its name), or a CSV table with the columns image, label and "
        "optionally split",
    )
    layout: Literal["frames", "endovis17", "endovis18", "polypgen", "sunseg"] = Field(
        "frames", description="How the set is laid out; the public ones know their masks"
    )
    target: Literal["binary", "parts", "types"] = Field("parts", description="What the labels of EndoVis 2017 show")
    masks: Literal["indices", "values", "colours", "threshold"] = Field(
        "indices",
        description="What masks of layout frames hold: class indices (grey or palette), grey values or colours by a "
        "table, or black and white, cut at 127, as in JPEG",
    )
    values: dict[int, int] | None = Field(
        None, description="For masks: values, which grey value is which class, such as {0: 0, 255: 1}"
    )
    colours: dict[str, tuple[int, int, int] | list[tuple[int, int, int]]] | None = Field(
        None,
        description="For masks: colours, the colour or colours of each class, such as {tool: [0, 255, 0]}; the name "
        "unknown stands for no class",
    )
    numbers: Literal["name", "order"] = Field(
        "name",
        description="Of frames: the last whole number in a file's name, where a jump cuts the sequence, or their place "
        "in natural order",
    )
    axis: Literal[0, 1, 2] = Field(2, description="Of volumes, the axis across which slices are frames")
    frames: int = Field(4, ge=1, le=1024, description="Frames of a training clip")
    window: int | tuple[int, int] = Field(256, description="Sides of the training clips in pixels: one number, or two")
    stride: int = Field(
        1,
        ge=1,
        description="How far apart in number neighbours of a clip may be: a sequence is thinned to that, and cut where "
        "its numbers jump by more",
    )
    size: tuple[int, int] | None = Field(
        None, description="Rows and columns that frames are brought to when they are read; null as stored"
    )
    augment: bool = Field(True, description="Flips and quarter turns of the image; time is never turned")
    split: Split = Field(Split(by="source"), description="Training, validation and test parts, see below")

    @property
    def sides(self) -> tuple[int, ...]:
        return (self.frames, *super().sides)

    @property
    def still(self) -> int:
        return 1

    @field_validator("window", "size")
    @classmethod
    def _sides(cls, sides: int | tuple[int, int] | None) -> int | tuple[int, int] | None:
        for side in [] if sides is None else [sides] if isinstance(sides, int) else sides:
            if not 16 <= side <= 4096:
                raise ValueError(f"a side of {side} is not between 16 and 4096")
        return sides

    @model_validator(mode="after")
    def _one_place(self) -> VideoData:
        if (self.folder is None) == (self.images is None):
            raise ValueError("give either folder, or images with labels")
        if (self.images is None) != (self.labels is None):
            raise ValueError("images and labels go together")
        if self.split.by == "block":
            raise ValueError("split.by: sequences are dealt whole (source, or table); a sequence is never cut")
        return self

    @model_validator(mode="after")
    def _masks_of_frames(self) -> VideoData:
        own = [key for key in ("images", "values", "colours") if getattr(self, key) is not None]
        own += [key for key, usual in (("masks", "indices"), ("numbers", "name")) if getattr(self, key) != usual]
        if self.layout != "frames" and own:
            raise ValueError(f"{own[0]} goes with layout: frames; {self.layout} has its own masks and folders")
        for key in ("values", "colours"):
            if (getattr(self, key) is not None) != (self.masks == key):
                raise ValueError(f"{key} is needed by masks: {key}, and only there")
        return self


class SceneData(_Windows):
    """Procedural field landscapes with exact truth; written into the run's folder as GeoTIFF and GeoPackage."""

    kind: Literal["scenes"] = Field(description="Procedural landscapes")
    count: int = Field(1, ge=1, description="Number of scenes")
    size: int = Field(1024, ge=128, le=16384, description="Side of a scene in pixels")
    seed: int = Field(0, ge=0, description="Seed of the first scene")
    classes: list[str] = Field(
        ["background", "field"], min_length=2, max_length=3, description="Class names; a third is the boundary"
    )
    window: int = Field(128, ge=16, le=4096, description="Side of the training crops in pixels")
    edge_px: Literal[1, 2] = Field(1, description="Width of the boundary class made from polygons")


DataSection = RasterData | ImageData | VolumeData | FundusData | OctData | VideoData | SceneData

KINDS: dict[str, type[Section]] = {
    "raster": RasterData, "images": ImageData, "volume": VolumeData, "fundus": FundusData, "oct": OctData,
    "video": VideoData, "scenes": SceneData
}  # fmt: skip
