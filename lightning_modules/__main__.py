"""`python -m lightning_modules VERB`; the same file is installed as `lightning/__main__.py`."""

if __name__ == "__main__":
    # Under the guard, because processes that make clips import this file too and need nothing of it.
    from lightning_modules.cli import main

    main()
