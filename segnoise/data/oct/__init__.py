"""Retinal OCT as people keep it: public sets, folders of B-scans and the devices' own files, as lists of items;
whole scans with their place; layers as heights and as masks.
"""

from segnoise.data.oct.bscans import BScanFile, read_bscans
from segnoise.data.oct.duke import read_duke
from segnoise.data.oct.layers import heights_to_mask, layer_classes, mask_to_heights
from segnoise.data.oct.olives import BIOMARKERS, read_olives
from segnoise.data.oct.placed import PlacedScan, is_scan, read_scan, scan_name
from segnoise.data.oct.retouch import read_retouch
from segnoise.data.oct.vendor import read_vendor

__all__ = [
    "BIOMARKERS",
    "BScanFile",
    "PlacedScan",
    "heights_to_mask",
    "is_scan",
    "layer_classes",
    "mask_to_heights",
    "read_bscans",
    "read_duke",
    "read_olives",
    "read_retouch",
    "read_scan",
    "read_vendor",
    "scan_name",
]
