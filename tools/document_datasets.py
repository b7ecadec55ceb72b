"""Writes docs/datasets.md from the packaged manifests of public data sets.

python tools/document_datasets.py
"""

from __future__ import annotations

import typing
from pathlib import Path

from segnoise.data.manifest import Domain, Manifest, manifests

TITLES = {
    "land": "Land", "marine": "Sea bed", "fundus": "Fundus", "oct": "OCT", "endoscopy": "Endoscopy and surgery",
    "microscopy": "Microscopy", "dermoscopy": "Skin", "radiograph": "Radiographs", "ultrasound": "Ultrasound",
    "volume": "Volumes", "video": "Video",
}  # fmt: skip

INTRODUCTION = """# Public data sets

What segnoise knows of public data sets: where they are, on what terms, how they lie on disk, and what spoils a split.
The same is told by

```
segnoise data list --domain oct
segnoise data show olives
segnoise data fetch msd_hippocampus -o data/hippocampus
segnoise data verify drive data/DRIVE
```

`fetch` compares a file with its published checksum before it is unpacked. Where nobody publishes one, it is refused
unless you add `--trust`; what was seen is then recorded in `manifest.lock.yaml` and asked for the next time. `--only
'austria*'` takes a part of a set. Sets that need an account or a signature are not fetched: `show` says what to do, and
`verify` looks your copy over. `NAME` may also be a manifest of your own (`NAME.yaml`, with the keys of those in
`segnoise/data_manifests/`), for example of a mirror on your disk (`file://`).

*Licence* is as the owner states it, where it was found; nothing here is legal advice. *Read by* names the reader; a
star means that it was tested on files of the set itself, and not only on trees made from the set's description. This
page is made from the manifests by `tools/document_datasets.py`.
"""


def cell(text: str) -> str:
    return text.replace("|", "\\|")


def row(manifest: Manifest) -> str:
    name = f"[{manifest.title}]({manifest.home})" if manifest.home else manifest.title
    reader = "none yet" if manifest.layout is None else f"`{manifest.layout}`" + "*" * manifest.verified_on_real_files
    licence = "; ".join(filter(None, (manifest.licence, manifest.terms)))
    cells = [
        f"`{manifest.name}`", f"{name}. {manifest.contents}", manifest.access, licence, reader, manifest.split,
        manifest.group, manifest.label_quality,
    ]  # fmt: skip
    return "| " + " | ".join(cell(c) for c in cells) + " |"


def page() -> str:
    lines = [INTRODUCTION]
    for domain in typing.get_args(Domain):
        chosen = [manifest for manifest in manifests().values() if manifest.domain == domain]
        lines += [
            f"## {TITLES[domain]}",
            "",
            "| name | what | to be had | licence and terms | read by | split | keep together | label quality |",
            "| --- | --- | --- | --- | --- | --- | --- | --- |",
            *map(row, chosen),
            "",
        ]
    return "\n".join(lines)


if __name__ == "__main__":
    path = Path(__file__).parents[1] / "docs" / "datasets.md"
    path.write_text(page())
    print(path)
