"""``python -m proxyclip``."""

from proxyclip.cli import main

if __name__ == "__main__":
    main()
