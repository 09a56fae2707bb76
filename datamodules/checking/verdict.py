"""Judges a clip by its facts: a verdict with named reasons."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from datamodules.video.clip_facts import ClipFacts
from datamodules.video.damage import ends_early
from datamodules.video.image_reader import ImageReader

SHORT = 0.5  # seconds
BLACK, PLAIN, STILL = 16.0, 2.0, 0.1  # grey levels of 256
NOISE = 8.0  # largest contrast of a black picture, in grey levels
HUGE = 3840 * 2160  # pixels
DRIFT = 0.05  # share of the clip


class Verdict(enum.StrEnum):
    """Verdicts on a clip, from good to bad."""

    OK = "ok"
    SUSPICIOUS = "suspicious"
    DAMAGED = "damaged"
    UNREADABLE = "unreadable"


# The meanings of the reasons, in the order in which they are checked.
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
        facts: facts about the clip.
        verdict: verdict on the clip.
        reasons: reasons for the verdict by name, with details; empty for a clip that is ok.
    """

    facts: ClipFacts
    verdict: Verdict
    reasons: Mapping[str, str]

    def why(self) -> str:
        """Return the reasons in one line."""
        return "; ".join(f"{name}: {details}" if details else name for name, details in self.reasons.items())


def judge(facts: ClipFacts, wanted: int) -> Judged:
    """Return the verdict on a clip.

    Args:
        facts: facts about the clip.
        wanted: number of frames that the sampler takes of a long clip.
    """
    if facts.error:
        return Judged(facts, Verdict.UNREADABLE, {facts.error: ""})
    reasons = suspicions(facts, wanted)
    if facts.damage:
        return Judged(facts, Verdict.DAMAGED, {"decodes in part": facts.damage} | reasons)
    return Judged(facts, Verdict.SUSPICIOUS if reasons else Verdict.OK, reasons)


def suspicions(facts: ClipFacts, wanted: int) -> dict[str, str]:
    """Return the reasons to doubt a readable clip by name, with details."""
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
