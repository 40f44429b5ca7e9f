"""Checks of a dataset on disk: counts, headers, every pixel of every label once, and what has to be left out."""

import collections
import datetime
import hashlib
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from udalib import labels, runs
from udalib.data.sets.ondisk import NO_IMAGE, NOT_THERE, Item, Listing, OnDisk
from udalib.data.sets.reading import Header, header, read_image

BLANK = 1.0  # standard deviation of the grey levels below which an image shows nothing
SHOWS_NOTHING = "blank image"
OTHER_SIZE = "label of another size"
ABOUT = 0.1  # share by which a round figure may be off
NAMED = 5  # names in a sentence; the report has all

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Finding:
    """What was seen of one image. unusable: why it has to be left out, or "". ids: int64 [256], pixels of each id."""

    name: str
    unusable: str = ""
    image: Header | None = None
    label: Header | None = None
    ids: np.ndarray | None = None


def verify(
    dataset: OnDisk, root: str | Path | None, progress: Progress | None = None, exclude_other_sizes: bool = False
) -> dict[str, Any]:
    """Check every file of a dataset, write the report as `report_path(...)`, and return it.

    progress: called with (images done, images in all). exclude_other_sizes: images whose label has another size are
    left out; else the label is stretched to the image.

    The report has one entry per split and two lists of sentences: "problems", empty where all is as published, and
    "notes", on what is known to be wrong or may be right. Images that can't be decoded, or are blank without being
    known for it, are left out by `usable` from then on.

    Raises ValueError where the dataset isn't there at all.
    """
    folder = dataset.locate(root)
    listings, problems, notes = {}, [], []
    for split in dataset.splits:
        try:
            listings[split] = dataset.images(folder, split)
        except ValueError as error:
            problems.append(f"{split}: {error}")
    # Splits may share images, as the parts of CamVid do; each is looked at once.
    items = {item.image: item for listing in listings.values() for item in listing.items}
    found = {}
    with ThreadPoolExecutor() as pool:
        for done, (path, finding) in enumerate(zip(items, pool.map(_look(dataset), items.values()), strict=True), 1):
            found[path] = finding
            if progress:
                progress(done, len(items))
    splits = {}
    for split, listing in listings.items():
        findings = [found[item.image] for item in listing.items]
        splits[split] = _summary(dataset, split, listing, findings, exclude_other_sizes)
        problems += [f"{split}: {problem}" for problem in splits[split].pop("problems")]
        notes += [f"{split}: {note}" for note in splits[split].pop("notes")]
    if dataset.encoding:
        problems += _tables(dataset)
    report = {
        "dataset": dataset.name,
        "root": str(folder),
        "date": datetime.date.today().isoformat(),
        "splits": splits,
        "problems": problems,
        "notes": notes,
    }
    path = report_path(dataset, folder)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        runs.write_atomically(path, json.dumps(report, indent=1))
    except OSError as error:
        raise ValueError(
            f"{path} can't be written ({error.strerror}); set UDALIB_HOME to a folder that can."
        ) from error
    return report


def workspace(dataset: OnDisk, folder: Path) -> Path:
    """Where the report and the caches of a dataset live: in `runs.home()`, never in the dataset's own folder."""
    key = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:8]
    return runs.home() / "datasets" / f"{dataset.name}-{key}"


def report_path(dataset: OnDisk, folder: Path) -> Path:
    return workspace(dataset, folder) / "verify.json"


def usable(dataset: OnDisk, folder: Path, split: str) -> Listing:
    """The images of a split without those that `verify` found unusable, if it was run."""
    listing, path = dataset.images(folder, split), report_path(dataset, folder)
    if not path.exists():
        return listing
    try:
        return listing.without(json.loads(path.read_text())["splits"].get(split, {}).get("unusable", {}))
    except (ValueError, KeyError, AttributeError) as error:
        raise ValueError(f"{path} is damaged ({error}); run `udalib verify {dataset.name}` again.") from error


def ids_sha256(names: Sequence[str]) -> str:
    """SHA-256 of the sorted names, one per line: the image list of a split in one word."""
    return hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()


def _look(dataset: OnDisk) -> Callable[[Item], Finding]:
    def look(item: Item) -> Finding:
        image = label = None
        try:
            image = header(item.image)
            blank = SHOWS_NOTHING if cv2.meanStdDev(read_image(item.image))[1].max() < BLANK else ""
            if item.label is None:
                return Finding(item.name, blank, image)
            label = header(item.label)
            ids = np.bincount(dataset.read_label(item.label).ravel(), minlength=256)
            return Finding(item.name, blank, image, label, ids)
        except ValueError as error:
            return Finding(item.name, str(error).partition(";")[0], image, label)

    return look


def _summary(
    dataset: OnDisk, split: str, listing: Listing, findings: list[Finding], exclude_other_sizes: bool
) -> dict[str, Any]:
    """What was found in one split, with sentences on whatever is not as published under "problems" and "notes"."""
    lut = dataset.encoding.lut(dataset.classes) if dataset.encoding else np.full(256, labels.IGNORE)
    labelled = [finding for finding in findings if finding.ids is not None]
    counts = sum((finding.ids for finding in labelled), np.zeros(256, np.int64))
    unlabelled = [item.name for item in listing.items if item.label is None]
    empty = [f.name for f in labelled if not f.ids[lut != labels.IGNORE].any()]
    lists = {
        **_against_published(dataset, split, listing),
        "incomplete": [name for name, reason in listing.excluded.items() if reason in (NO_IMAGE, NOT_THERE)],
        "without_label": unlabelled if len(unlabelled) < len(findings) else [],
        "other_image_format": [f.name for f in findings if f.image and not _as_specified(f.image, dataset.image_modes)],
        "other_format": [
            f.name for f in findings if f.label and not _as_specified(f.label, dataset.modes, dataset.bits)
        ],
        "empty_labels": empty,
    }
    known = [f.name for f in findings if f.unusable == SHOWS_NOTHING and f.name in dataset.blank]
    unusable = {f.name: f.unusable for f in findings if f.unusable and f.name not in known}
    of_other_size = [f.name for f in labelled if f.label.size != f.image.size]
    single = [f.name for f in labelled if np.count_nonzero(f.ids) == 1 and f.name not in empty]
    strange = [int(value) for value in counts.nonzero()[0] if value not in dataset.ids]

    problems, notes = [], list(listing.notes)
    expected = dataset.splits[split]
    if expected and len(findings) != expected:
        close = split in dataset.about and abs(len(findings) - expected) <= ABOUT * expected
        said = "about " if split in dataset.about else ""
        (notes if close else problems).append(f"{len(findings)} images, published are {said}{expected}")
    problems += [f"{key.replace('_', ' ')}: {_some(names)}" for key, names in lists.items() if names]
    if unusable:
        problems.append(f"unusable and left out from now on: {_some(list(unusable))}")
    if strange:
        problems.append(f"label values that mean nothing here: {', '.join(map(str, strange))}")
    by_reason = collections.defaultdict(list)
    for name, reason in listing.excluded.items():
        if name not in lists["incomplete"]:
            by_reason[reason].append(name)
    notes += [f"excluded, {reason}: {_some(names)}" for reason, names in by_reason.items()]
    if known:
        notes.append(f"blank, as is known, but part of this list: {_some(known)}")
    if single:
        notes.append(f"one value in the whole label: {_some(single)}")
    if exclude_other_sizes and of_other_size:
        notes.append(f"{OTHER_SIZE}, left out from now on as asked: {_some(of_other_size)}")
        unusable = {**dict.fromkeys(of_other_size, OTHER_SIZE), **unusable}

    sizes = collections.Counter(finding.image.size for finding in findings if finding.image)
    pixels = {name: int(counts[lut == index].sum()) for index, name in enumerate(dataset.classes.names)}
    return {
        "images": len(findings),
        "expected": expected or None,
        "labels": len(findings) - len(unlabelled),
        "excluded": listing.excluded,
        "unusable": unusable,
        **lists,
        "known_blank": known,
        "single_valued_labels": single,
        "sizes": {f"{width}x{height}": count for (height, width), count in sizes.most_common()},
        "label_of_other_size": of_other_size,
        "pixels": {**pixels, "no class": int(counts[lut == labels.IGNORE].sum())},
        "ids_sha256": ids_sha256([item.name for item in listing.items if item.name not in unusable]),
        "problems": problems,
        "notes": notes,
    }


def _against_published(dataset: OnDisk, split: str, listing: Listing) -> dict[str, list[str]]:
    """Names that are missing or too many, and groups of another size, as far as it is known what was published."""
    here = {item.name for item in listing.items}
    lists = {}
    if dataset.names:
        published = dataset.names(split)
        lists["missing"] = sorted(published - here - listing.excluded.keys())
        lists["not_published"] = sorted(here - published)
    if groups := dataset.groups.get(split):
        found = collections.Counter(name.partition("_")[0] for name in here)
        lists["other_counts"] = [
            f"{group} {found[group]} (published: {groups.get(group, 0)})"
            for group in sorted(groups.keys() | found.keys())
            if found[group] != groups.get(group, 0)
        ]
    return lists


def _as_specified(file: Header, modes: Sequence[str], bits: int = 8) -> bool:
    # Writers store a palette of few colours with fewer than 8 bits, which changes nothing.
    return file.mode in modes and max(file.bits, 8) == bits


def _tables(dataset: OnDisk) -> list[str]:
    """Sentences on classes that don't survive the way from index to id and back, and on subsets out of order."""
    lut, inverse = dataset.encoding.lut(dataset.classes), dataset.encoding.inverse(dataset.classes)
    lost = [name for index, name in enumerate(dataset.classes.names) if lut[inverse[index]] != index]
    wrong = [f"no label value means {name}" for name in lost]
    for which in ("19", "16", "13"):
        chosen = labels.subset(labels.CITYSCAPES, which)
        if any(a >= b for a, b in zip(chosen, chosen[1:], strict=False)):
            wrong.append(f"the classes of subset {which} are out of order")
    return wrong


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{', '.join(names[:NAMED])}{more}"
