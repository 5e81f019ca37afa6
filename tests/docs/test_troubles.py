"""Each message that the page of troubles explains is one that the program has."""

import ast
import re

from messages_of_code import all_messages, message_of, sources
from pages_of_docs import ROOT, blocks

PAGE = ROOT / "docs" / "troubles.md"


def texts_of_the_code() -> set[str]:
    """All texts in the code, with `…` for what is put in; those that names stand for, too."""
    found = {
        message_of(node)
        for path in sources()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant | ast.JoinedStr)
    }
    errors, notices = all_messages()
    found |= {text.strip("`") for room in errors.values() for text, _ in room}
    return found | {text.strip("`") for _, text in notices}


def test_each_message_that_is_quoted_is_in_the_code() -> None:
    texts = texts_of_the_code()
    quoted = [block.strip() for block in blocks(PAGE, "text")]
    assert len(quoted) > 25
    unknown = [
        message
        for message in quoted
        if not any(_pattern(message).fullmatch(text) for text in texts)
    ]
    assert unknown == []


def test_each_message_has_a_cause_and_a_cure() -> None:
    after = PAGE.read_text(encoding="utf-8").split("```text\n")[1:]
    explained = [text.split("```\n", 1)[1].strip().split("\n\n")[0] for text in after]
    cured = re.compile(r"\*\*Cause\.\*\* .*\*\*Cure\.\*\*\s", re.DOTALL)
    assert [text for text in explained if not cured.match(text)] == []


def _pattern(message: str) -> re.Pattern[str]:
    # A text of the code may go on after the last of ours.
    return re.compile(".*".join(re.escape(part) for part in message.split("…")) + ".*", re.DOTALL)
