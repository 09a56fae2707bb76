"""Damaged replies of judges."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from random import Random

from ablation.judging.judge import BEST_SCORE
from ablation.judging.prompted import ReplyError, read_reply
from tests.campaign.kind import Kind, Outcome, WrongError
from tests.campaign.mutations import ODD_VALUES

FORMS = (
    '{{"pred": "{pred}", "score": {score}}}',
    "{{'pred': '{pred}', 'score': {score}}}",
    '```json\n{{"pred": "{pred}", "score": {score}}}\n```',
    '```python\n{{\'pred\': "{pred}", "score": {score}, "why": "it \\"is\\""}}\n```',
    ' {{"score": {score}, "pred": "{pred}"}}\n',
)
PIECES = ("{", "}", '"', "'", ":", ",", "yes", "no", "pred", "score", "```", "\n", "\\", "\0", "5", "-", "1e9", "NaN")


class Replies(Kind):
    """A judgement says what the one object in the reply says, or there is none."""

    name, share, seconds = "judge reply", 0.15, 10

    def prepare(self, folder: Path) -> None:
        """Nothing is needed."""

    def damage(self, random: Random, folder: Path) -> str:
        """Put pieces in, take some out, say a key twice, or give an odd value."""
        pred, score = random.choice(("yes", "no", "Yes")), random.choice((0, 3, 5, 2.5))
        text = random.choice(FORMS).format(pred=pred, score=score)
        for _ in range(random.randrange(3)):
            place = random.randrange(len(text) + 1)
            match random.choice(("in", "out", "twice", "odd")):
                case "in":
                    text = text[:place] + random.choice(PIECES) + text[place:]
                case "out":
                    text = text[:place] + text[place + random.randint(1, 4) :]
                case "twice":
                    quote = random.choice("\"'")
                    key, value = random.choice((("pred", f"{quote}no{quote}"), ("score", "1")))
                    text = text.replace("}", f", {quote}{key}{quote}: {value}}}", 1)
                case _:
                    text = text.replace(str(score), json.dumps(random.choice(ODD_VALUES)), 1)
        self.text = text
        return f"{text!r:.300}"

    def use(self, random: Random, folder: Path) -> Outcome:
        """Read it."""
        try:
            judgement = read_reply(self.text, None)
        except ReplyError:
            return Outcome.NAMED
        pairs = statements(self.text)
        keys = [key for key, _ in pairs]
        if len(set(keys)) != len(keys):
            raise WrongError(f"taken although a key stands twice: {judgement}")
        content = dict(pairs)
        right = content["pred"].strip().lower() == "yes"
        if (judgement.right, judgement.score) != (right, content["score"]) or not 0 <= judgement.score <= BEST_SCORE:
            raise WrongError(f"{judgement} of {content}")
        return Outcome.RIGHT


def statements(text: str) -> list[tuple[str, object]]:
    """Return the pairs of the object in a reply, read in another way than the product's."""
    inside = text.strip()
    if inside.startswith("```"):
        inside = inside.strip("`").removeprefix("json").removeprefix("python")
    try:
        pairs: list[tuple[str, object]] = json.loads(inside, object_pairs_hook=list)
        return pairs
    except ValueError:
        node = ast.parse(inside.strip(), mode="eval").body
        assert isinstance(node, ast.Dict)
        return [
            (ast.literal_eval(key), ast.literal_eval(value)) for key, value in zip(node.keys, node.values, strict=True)
        ]
