"""What is to be thought of a clip: a verdict from its facts, and the reasons by name."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from datamodules.video.clip_facts import ClipFacts
from datamodules.video.damage import ends_early
from datamodules.video.image_reader import ImageReader

SHORT = 0.5  # seconds
BLACK, PLAIN, STILL = 16.0, 2.0, 0.1  # grey levels of 256
NOISE = 8.0  # contrast that a black picture may have
HUGE = 3840 * 2160  # pixels
DRIFT = 0.05  # share of the clip


class Verdict(enum.StrEnum):
    """From good to bad."""

    OK = "ok"
    SUSPICIOUS = "suspicious"
    DAMAGED = "damaged"
    UNREADABLE = "unreadable"


# What the reasons mean, in the order in which they are looked at.
REASONS: Mapping[str, str] = {
    "more frames than the header": "the header counts fewer frames than there are; other readers may leave some out",
    "ends early": "the frames end long before the duration in the header: the file may be cut off",
    "no duration": "the header has no duration, so that nothing tells whether the file is complete",
    "few frames": "fewer frames than the sampler takes of a clip",
    "short": f"shorter than {SHORT} s",
    "nearly black": "a dark picture without contrast",
    "one colour": "no picture but a single colour",
    "still": "nothing changes from beginning to end",
    "uneven times": f"evenly spread frames are not evenly spread in time: off by more than {DRIFT:.0%} of the clip",
    "huge picture": "more pixels than 3840 x 2160: slow to decode, and scaled down anyway",
    "decodes in part": "damaged: only a part can be decoded, or with pictures that the decoder had to patch",
}


@dataclass(frozen=True)
class Judged:
    """A clip with its verdict.

    Attributes:
        facts: of the clip.
        verdict: on it.
        reasons: for it, by name, with what was found; none if it is ok.
    """

    facts: ClipFacts
    verdict: Verdict
    reasons: Mapping[str, str]

    def why(self) -> str:
        """Return the reasons in one line."""
        return "; ".join(f"{name}: {found}" if found else name for name, found in self.reasons.items())


def judge(facts: ClipFacts, wanted: int) -> Judged:
    """Return the verdict on a clip.

    Args:
        facts: of the clip.
        wanted: how many frames the sampler takes of a long clip.
    """
    if facts.error:
        return Judged(facts, Verdict.UNREADABLE, {facts.error: ""})
    found = suspicions(facts, wanted)
    if facts.damage:
        return Judged(facts, Verdict.DAMAGED, {"decodes in part": facts.damage} | found)
    return Judged(facts, Verdict.SUSPICIOUS if found else Verdict.OK, found)


def suspicions(facts: ClipFacts, wanted: int) -> dict[str, str]:
    """Return what is doubtful about a clip that can be read, by name, with what was found."""
    header, count = facts.header_frames, facts.frames
    early = not facts.damage and ends_early(facts.seconds, facts.duration)
    black = facts.brightness < BLACK and facts.contrast < NOISE
    checks = {
        "more frames than the header": (0 < header < count - max(1.0, 0.02 * count), f"{count} for {header}"),
        "ends early": (early, f"{facts.seconds:.2f} s of {facts.duration:.2f} s"),
        "no duration": (not facts.duration, ""),
        "few frames": (count < wanted and facts.reader != ImageReader.name, f"{count} of {wanted}"),
        "short": (facts.seconds < SHORT, f"{facts.seconds:.2f} s"),
        "nearly black": (black, f"grey level {facts.brightness:.0f} of 255 at most"),
        "one colour": (facts.contrast < PLAIN and not black, ""),
        "still": (count > 1 and facts.change < STILL and facts.contrast >= PLAIN, ""),
        "uneven times": (facts.drift > DRIFT, f"off by {facts.drift:.0%}"),
        "huge picture": (facts.width * facts.height > HUGE, f"{facts.width} x {facts.height}"),
    }
    return {name: words for name, (doubtful, words) in checks.items() if doubtful}
