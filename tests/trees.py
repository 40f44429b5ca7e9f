"""Small folders in the layout and encoding of the real datasets, with noise for images."""

import io
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from udalib import labels
from udalib.data import sets

CITY_IDS = [7, 8, 11, 13, 17, 21, 23, 24, 26, 33]
FIRST_BDD, SECOND_BDD = "0000f77c-6257be58", "0000f77c-62c2a288"  # a drive's id is 8 and 8 hexadecimal digits


def noise(size: tuple[int, int], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)


def blocks(size: tuple[int, int], values: list[int], seed: int) -> np.ndarray:
    """A label map of 8x8 blocks, in which every value occurs."""
    coarse = np.resize(np.random.default_rng(seed).permutation(values), (size[0] // 8 + 1, size[1] // 8 + 1))
    return np.kron(coarse, np.ones((8, 8), int))[: size[0], : size[1]].astype(np.uint8)


def save(path: Path, array: np.ndarray, palette: bool = False) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(array)
    if palette:
        image = Image.fromarray(array, mode="L").convert("P")
        image.putdata(array.ravel())
        colours = np.zeros((256, 3), np.uint8)
        for file_id, name in labels.encoding("gta5").table:
            colours[file_id] = labels.CITYSCAPES.palette[labels.CITYSCAPES.index(name)]
        image.putpalette(colours.ravel().tolist())
    image.save(path)
    return path


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def damage(dataset: sets.OnDisk, folder: Path, split: str) -> tuple[str, str, str]:
    """Cut one file off, take away the image of one label, give one image another size; returns the names of the three.

    Of SYNTHIA it is a label that is cut off, as unpacking its archive may do.
    """
    cut, lonely, odd = dataset.images(folder, split).items[:3]
    cut_off(cut.label if dataset is sets.SYNTHIA else cut.image)
    lonely.image.unlink()
    save(odd.image, noise((41, 57), 99))
    return cut.name, lonely.name, odd.name


def gta5(root: Path) -> Path:
    """Eight frames: one of another size, one whose label is smaller by a pixel, and one blank as the original is."""
    folder = root / "GTA5"
    for number in range(1, 8):
        size = (34, 63) if number == 2 else (52, 95)
        save(folder / f"images/{number:05d}.png", noise(size, number))
        stored = (51, 95) if number == 3 else size
        save(folder / f"labels/{number:05d}.png", blocks(stored, [0, *CITY_IDS, 34], number), palette=True)
    save(folder / "images/15188.png", np.zeros((52, 95, 3), np.uint8))
    save(folder / "labels/15188.png", blocks((52, 95), CITY_IDS, 9), palette=True)
    return folder


def synthia(root: Path, labels_folder: str = "LABELS") -> Path:
    folder = root / "RAND_CITYSCAPES"
    for number in range(6):
        save(folder / f"RGB/{number:07d}.png", noise((38, 64), number))
        stored = np.zeros((38, 64, 3), np.uint16)
        stored[..., 2] = blocks((38, 64), [*range(13), 15, 17, 19, 21, 22], number)  # OpenCV writes blue first
        stored[..., 1] = 976  # an instance
        path = folder / "GT" / labels_folder / f"{number:07d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), stored)
    return folder


def cityscapes(root: Path) -> Path:
    folder = root / "cityscapes"
    for split, city, count in (("train", "aachen", 4), ("train", "ulm", 2), ("val", "lindau", 3), ("test", "bonn", 1)):
        for number in range(count):
            name = f"{city}_{number:06d}_000019"
            save(folder / "leftImg8bit" / split / city / f"{name}_leftImg8bit.png", noise((51, 102), number))
            values = [0] if split == "test" else [0, 3, *CITY_IDS, 255]
            save(folder / "gtFine" / split / city / f"{name}_gtFine_labelIds.png", blocks((51, 102), values, number))
    return folder


def bdd100k(root: Path, first_release: bool = False) -> Path:
    folder = root / "bdd100k"
    images, masks, ending = (
        ("seg/images", "seg/labels", "_train_id")
        if first_release
        else (
            "images/10k",
            "labels/sem_seg/masks",
            "",
        )
    )
    for split, count in (("train", 4), ("val", 2), ("test", 1)):
        for number in range(count):
            name = f"{number:08x}-{len(split):08x}"
            save(folder / images / split / f"{name}.jpg", noise((45, 80), number))
            if split != "test":
                save(folder / masks / split / f"{name}{ending}.png", blocks((45, 80), [*range(19), 255], number))
    return folder


def bddv(root: Path) -> Path:
    """Five frames, of which one is of a drive in the validation split of `bdd100k`."""
    folder = root / "bddv"
    for number in range(4):
        save(folder / f"frames/part{number % 2}/{number:08x}-abcdef01-0000001.jpg", noise((45, 80), number))
    save(folder / "frames/part0/00000001-00000003-0000001.jpg", noise((45, 80), 9))
    return folder


def nthu(root: Path, city: str = "Rome", suffix: str = ".jpg") -> Path:
    folder = root / "NTHU_Datasets" / city
    names = [f"pano_{number:05d}_0_180" for number in range(20)]
    for number, name in enumerate(names):
        save(folder / f"Images/Test/{name}{suffix}", noise((32, 64), number))
        save(folder / f"Labels/Test/{name}_eval.png", blocks((32, 64), [7, 8, 11, 21, 23, 24, 26, 255], number))
    for number in range(3):
        save(folder / f"Images/Train/pano_{number:05d}_1_90{suffix}", noise((32, 64), number))
    (folder / "List").mkdir()
    (folder / "List/test.txt").write_text("\n".join(names))
    return folder


def camvid(root: Path) -> Path:
    folder = root / "CamVid"
    drives = {"train": ("0001TP_006690", "0006R0_f00930", "0016E5_00390"), "test": ("0001TP_008550", "Seq05VD_f00000")}
    for split in ("train", "val", "test"):
        for drive in drives.get(split, ("0016E5_07959",)):
            for number in range(3):
                name = f"{drive[:-1]}{number}"
                save(folder / split / f"{name}.png", noise((36, 48), number))
                save(folder / f"{split}annot" / f"{name}.png", blocks((36, 48), list(range(12)), number))
        (folder / f"{split}.txt").write_text("/SegNet/CamVid/nowhere.png /SegNet/CamVid/nowhereannot.png\n")
    return folder


def own(root: Path) -> Path:
    """Photographs with labels in colours' order of one's own, and the file that describes them."""
    folder = root / "own"
    for number in range(4):
        save(folder / f"game/{number}_rgb.png", noise((40, 60), number))
        save(folder / f"game/{number}_ids.png", blocks((40, 60), [0, 3, 9, 200], number))
        save(folder / f"phone/{number}.jpg", noise((50, 60), number))
    for number in range(2):
        save(folder / f"val/{number}.jpg", noise((50, 60), number))
        save(folder / f"val_labels/{number}.png", blocks((50, 60), [0, 3, 9], number))
    path = folder / "garden.toml"
    path.write_text(
        'size = [40, 52]\n[ids]\n0 = "road"\n3 = "lawn"\n9 = "pond"\n'
        '[source]\nimages = "game/*_rgb.png"\nlabels = "game/*_ids.png"\n'
        '[target]\nimages = "phone"\n[val]\nimages = "val"\nlabels = "val_labels"\n'
    )
    return path


def everything(root: Path) -> Path:
    for write in (gta5, synthia, cityscapes, bdd100k, bddv, nthu, camvid, own):
        write(root)
    return root


def high_bytes(path: Path) -> np.ndarray:
    """What Pillow makes of a 16-bit label file."""
    return np.array(Image.open(io.BytesIO(path.read_bytes())).convert("RGB"))
