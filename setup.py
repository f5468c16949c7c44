"""The build step that puts the notebooks into the wheel; everything else is in pyproject.toml."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithNotebooks(build_py):
    """Copies ``notebooks/*.ipynb``, the only copy, to ``proxyclip/notebooks`` of what is built."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:  # the clone itself is used
            return
        target = Path(self.build_lib) / "proxyclip" / "notebooks"
        self.mkpath(str(target))
        for notebook in sorted(Path("notebooks").glob("[A-Z]_*.ipynb")):
            self.copy_file(str(notebook), str(target / notebook.name))


setup(cmdclass={"build_py": BuildWithNotebooks})
