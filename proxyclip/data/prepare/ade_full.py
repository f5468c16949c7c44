"""ADE847 from the full ADE20K release."""

import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from proxyclip.data import vocab
from proxyclip.data.benchmarks import BENCHMARKS
from proxyclip.data.prepare.downloads import ade_object_names, lookup_table, match_names, translate
from proxyclip.data.prepare.label_files import Prepared, write_labels
from proxyclip.data.samples import SampleError, read_sample_image, stored_picture
from proxyclip.system.atomic import replacing
from proxyclip.system.files import files_below

#: Short side in pixels to which the published preparation (MaskFormer, CAT-Seg, FC-CLIP) reduces larger images.
SHORT_SIDE = 512


def ade847(release: Path, root: Path, overwrite: bool = False, full_size: bool = False) -> Prepared:
    """Renumber the colour-coded maps of the full ADE20K release to ADE847, beside the images.

    As published, an image whose short side is larger than 512 pixels is reduced to that (bilinear, the long side
    rounded down, saved as JPEG of quality 95), and so are its labels (nearest). With ``full_size`` both keep the size
    of the release, and images are copied byte by byte.

    The red and green channels of a map (``ADE_val_*_seg.png``) hold the number of the object, ``red // 10 * 256 +
    green``, counted from 1 in the list of names in the release's index. The 847 classes are found in it by their names;
    two entries of the same name are the same class. Everything else becomes 65535. Below ``root`` are written
    ``annotations_detectron2/validation/*.tif`` and ``images_detectron2/validation/*.jpg``.
    """
    objects = ade_object_names(Path(release))
    numbers = {number: name for number, name in enumerate(objects, start=1)}
    classes = match_names(vocab.load("ade847").names, numbers, f"the index of {release}")
    table = lookup_table(classes, 65535, len(objects) + 1)
    layout = BENCHMARKS["ade847"].layout
    maps = {path.name.removesuffix("_seg.png"): path for path in files_below(release, "_seg.png", "ADE_val_")}

    def read(name: str) -> np.ndarray:
        path = maps[name]
        image, target = path.with_name(f"{name}.jpg"), Path(root) / layout.images / f"{name}{layout.image_suffix}"
        if overwrite or not target.exists():
            if not image.exists():
                raise SampleError(image, f"missing, though {path.name} exists")
            with replacing(target) as partial:
                if full_size or reduced_size(picture := read_sample_image(image)) == picture.size:
                    shutil.copyfile(image, partial)
                else:
                    picture.resize(reduced_size(picture), Image.Resampling.BILINEAR).save(partial, quality=95)
        codes = stored_picture(path, "label map").convert("RGB")
        if not full_size:
            codes = codes.resize(reduced_size(codes), Image.Resampling.NEAREST)
        colours = np.asarray(codes).astype(np.int64)
        return translate(colours[..., 0] // 10 * 256 + colours[..., 1], table, path)

    source = "the release at full size" if full_size else f"the release, reduced to a short side of {SHORT_SIDE}"
    return write_labels(root, "ade847", maps, read, overwrite, source)


def reduced_size(picture: Image.Image) -> tuple[int, int]:
    """Width and height with a short side of at most :data:`SHORT_SIDE`; the long side is rounded down."""
    width, height = picture.size
    short = min(width, height)
    if short <= SHORT_SIDE:
        return picture.size
    return width * SHORT_SIDE // short, height * SHORT_SIDE // short
