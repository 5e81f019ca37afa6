"""The people who review: their names, and the links and cookies by which the page knows them.

A name that a person types on the page is believed: whoever can open the page can label anyway. If
names are given to `vidwatch review --user`, each has a link that nobody else can make.
"""

import hashlib
import hmac
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs, quote, unquote, urlencode

from learner.errors import VidwatchError

LONGEST_NAME = 60  # characters


def reviewer_name(text: str) -> str:
    """A name as it is kept: in Unicode's composed form, with single spaces.

    Raises:
        VidwatchError: it is empty, too long, or has characters that cannot be shown.
    """
    name = " ".join(unicodedata.normalize("NFC", text).split())
    if not name:
        raise VidwatchError("a reviewer's name is empty: give one")
    if len(name) > LONGEST_NAME:
        raise VidwatchError(f"a reviewer's name has {LONGEST_NAME} characters at most")
    if not name.isprintable():
        raise VidwatchError(f"the reviewer's name {name!r} has characters that cannot be shown")
    return name


def is_same_secret(one: str, other: str) -> bool:
    """Whether two secrets are equal. The time it takes does not show how much of them is."""
    return hmac.compare_digest(one.encode(), other.encode("utf-8", "surrogateescape"))


@dataclass(frozen=True)
class Reviewers:
    """Who reviews on one page."""

    key: bytes
    """The page's key."""
    users: tuple[str, ...] = ()
    """The names that have links of their own."""

    @property
    def form_secret(self) -> str:
        """What is in each form of the page. Another site cannot know it."""
        return self._made_from("form")

    def link(self, name: str) -> str:
        """The query of the link for one of the users."""
        return urlencode({"user": name, "key": self._key_of(name)})

    def user_of_link(self, query: str) -> str | None:
        """The user whose link has this query; None if it is the link of no user."""
        fields = parse_qs(query)
        name = fields.get("user", [""])[0]
        is_true = is_same_secret(self._key_of(name), fields.get("key", [""])[0])
        return name if is_true and name in self.users else None

    def user_cookie(self, name: str) -> str:
        """What a browser keeps after it opened a user's link. The link cannot be made from it."""
        return f"{quote(name, safe='')}.{self._made_from('cookie', name)}"

    def user_of_cookie(self, value: str) -> str | None:
        """The user whose cookie this is; None if it is no user's."""
        name = unquote(value.rpartition(".")[0])
        is_true = is_same_secret(self.user_cookie(name), value)
        return name if is_true and name in self.users else None

    def typed_cookie(self, text: str) -> str:
        """What a browser keeps of a name that was typed on the page.

        Raises:
            VidwatchError: as `reviewer_name`; or a user with a link has this name.
        """
        name = reviewer_name(text)
        if name.casefold() in {user.casefold() for user in self.users}:
            raise VidwatchError(f"{name} has a link of their own: open that, or take another name")
        return quote(name, safe="")

    def name(self, cookies: Mapping[str, str], port: int) -> str | None:
        """The name of the person at a browser; None if the browser has not said it."""
        if user := self.user_of_cookie(cookies.get(user_cookie_name(port), "")):
            return user
        typed = cookies.get(typed_cookie_name(port), "")
        try:
            name = reviewer_name(unquote(typed, errors="strict"))
            return name if self.typed_cookie(name) == typed else None
        except (VidwatchError, UnicodeDecodeError):
            return None

    def _key_of(self, name: str) -> str:
        return self._made_from("link", name)

    def _made_from(self, *words: str) -> str:
        message = "\0".join(words).encode("utf-8", "surrogateescape")
        return hmac.new(self.key, message, hashlib.sha256).hexdigest()


# A cookie belongs to a host whatever the port, and the pages of two homes may be open.
def user_cookie_name(port: int) -> str:
    """The cookie of a user who opened a link."""
    return f"vidwatch-user-{port}"


def typed_cookie_name(port: int) -> str:
    """The cookie of a name that was typed."""
    return f"vidwatch-name-{port}"
