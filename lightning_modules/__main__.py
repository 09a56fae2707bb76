"""`python -m lightning_modules VERB`; the same file is installed as `lightning/__main__.py`."""

from lightning_modules.cli import main

if __name__ == "__main__":
    main()
