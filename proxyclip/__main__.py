"""``python -m proxyclip``."""

from proxyclip.cli.app import main

if __name__ == "__main__":
    main()
