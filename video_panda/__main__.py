"""`python -m video_panda VERB`; a wheel has this file as `lightning/__main__.py`, and `video-panda` as a command."""

import sys

if __name__ == "__main__":  # guarded, because processes that generate clips import this file too
    try:
        from video_panda import main
    except ImportError as error:  # a package of the user hides one of ours
        sys.exit(f"error: {error}")
    main()
