"""Sequences of images in time: frames and their labels as one source, from folders of frames, videos, time series of
rasters and slices of volumes; the masks of public sets, and how frame numbers make sequences.
"""

from segnoise.data.video.endovis import ENDOVIS17, ENDOVIS18, read_endovis17, read_endovis18
from segnoise.data.video.folders import read_folders
from segnoise.data.video.masks import ColourMask, ThresholdMask, mask_decoder
from segnoise.data.video.numbering import frame_name, numbered, stretches
from segnoise.data.video.polyps import POLYP_CLASSES, read_polypgen, read_sunseg
from segnoise.data.video.published import PUBLISHED, PublishedSet, plain_folder
from segnoise.data.video.recording import Frame, Recording, check_one_grid, items_of
from segnoise.data.video.resized import ResizedLabels, ResizedSource
from segnoise.data.video.sequence import FrameLabels, FrameSequence
from segnoise.data.video.videofile import VideoFile, VideoFrame

__all__ = [
    "ENDOVIS17",
    "ENDOVIS18",
    "POLYP_CLASSES",
    "PUBLISHED",
    "ColourMask",
    "Frame",
    "FrameLabels",
    "FrameSequence",
    "PublishedSet",
    "Recording",
    "ResizedLabels",
    "ResizedSource",
    "ThresholdMask",
    "VideoFile",
    "VideoFrame",
    "check_one_grid",
    "frame_name",
    "items_of",
    "mask_decoder",
    "numbered",
    "plain_folder",
    "read_endovis17",
    "read_endovis18",
    "read_folders",
    "read_polypgen",
    "read_sunseg",
    "stretches",
]
