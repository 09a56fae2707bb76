"""`python -m lightning_modules VERB`; the same file is installed as `lightning/__main__.py`."""

if __name__ == "__main__":
    # Guarded, because processes that generate clips import this file too.
    from lightning_modules.cli import main

    main()
