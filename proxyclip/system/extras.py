"""Packages that only some uses need: which extra brings each, and the sentence where it is missing."""

from collections.abc import Iterator
from contextlib import contextmanager

#: Module -> the extra that installs it.
EXTRAS = {
    "diffusers": "diffusion", "transformers": "diffusion",
    "papermill": "chapters", "nbformat": "chapters", "nbclient": "chapters", "IPython": "chapters",
    "seaborn": "chapters", "markupsafe": "chapters",
    "pycocotools": "prepare", "onnx": "photographs", "skimage": "photographs",
}


class MissingPackageError(ValueError):
    """A package of an extra is not installed; the message says how to install it."""


@contextmanager
def explained() -> Iterator[None]:
    """Turn the failed import of an extra's package into the sentence of a :class:`MissingPackageError`."""
    try:
        yield
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        if module not in EXTRAS:
            raise
        raise MissingPackageError(f"this needs the package {module}, which is not installed: "
                                  f'pip install "proxyclip[{EXTRAS[module]}]"') from None
