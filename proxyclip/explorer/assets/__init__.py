"""The script and the style sheet of the explorer, the only copies: pages inline them, the book's build copies them."""

from pathlib import Path

#: The folder with ``explorer.js`` and ``explorer.css``.
ASSETS = Path(__file__).parent
