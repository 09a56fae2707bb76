"""`python -m lightning_modules VERB`, in the repository."""

if __name__ == "__main__":
    # Guarded, because processes that generate clips import this file too.
    from lightning_modules.cli import main

    main()
