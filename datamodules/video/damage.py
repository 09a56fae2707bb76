"""What to do with a video of which only a part can be decoded."""

from __future__ import annotations

import enum
import logging

from datamodules.video.reader import DamagedVideoError

log = logging.getLogger(__name__)


class DamagedVideo(enum.Enum):
    """The choice a user has in YAML for damaged videos."""

    REFUSE = "raise an error with the counts"
    KEEP_DECODABLE = "use the frames that exist, with their true count, and log a warning"

    def meet(self, error: DamagedVideoError) -> None:
        """Raise `error`, or log it and go on.

        Raises:
            DamagedVideoError: under `REFUSE`.
        """
        if self is DamagedVideo.REFUSE:
            raise error
        log.warning("%s; going on with the %d frames that can be decoded", error, error.decodable)
