"""The settings of receivers: what is wrong is one clear line, which never shows a secret."""

import json
from pathlib import Path

import pytest

from daemon.home.receivers import Mqtt, Notify, Secret, Webhook
from daemon.home.settings import load
from learner.errors import VidwatchError


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "vidwatch.toml"
    path.write_text(text)
    return path


def test_the_examples_of_the_file_are_right(tmp_path: Path) -> None:
    """What it shows as tables, without the #."""
    shown = (Path(__file__).parents[2] / "daemon/home/vidwatch.toml").read_text()
    part = shown[shown.index("# Addresses that events are posted to") :]
    lines = [line[4:] for line in part.splitlines() if line.startswith("#   ")]
    settings = load(written(tmp_path, "\n".join(lines)))
    kinds = [type(receiver) for receiver in settings.receivers.values()]
    assert kinds == [Webhook, Mqtt, Notify]
    assert list(settings.receivers) == ["webhook example.org", "mqtt", "notify url"]


def test_a_setting_or_a_table_makes_a_receiver(tmp_path: Path) -> None:
    text = """on_classified = "a-script --with 'two words'"
command_seconds = 5
[[webhook]]
url = "https://ann:s3cret@example.org/hook?token=s3cret"
events = ["failed"]
at_most = "3/minute"
[[webhook]]
name = "second"
url = "https://example.org/"
"""
    receivers = load(written(tmp_path, text)).receivers
    assert list(receivers) == ["on_classified", "webhook example.org", "second"]
    assert receivers["on_classified"].events == ("classified",)
    assert receivers["webhook example.org"].rate == (3, 60.0)
    assert "s3cret" not in repr(load(tmp_path / "vidwatch.toml"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[[webhook]]\nurl = "htp://S3CRET"', ["webhook.0", "http://"]),
        ('[[webhook]]\nurl = "http://u:S3CRET@h:99999/"', ["webhook.0", "http://"]),
        ('[[webhook]]\nulr = "http://S3CRET"', ["webhook.0.ulr", "unknown", "did you mean 'url'?"]),
        ('[[webhook]]\nxyz = "S3CRET"', ["webhook.0.xyz", "unknown", "url, headers"]),
        ('[[webhook]]\nurl = "http://h/"\nbatch_size = 4', ["webhook.0.batch_size", "above the"]),
        ("[[webhook]]\n", ["the [[webhook]] number 1 needs 'url'"]),
        ('[[notify]]\nname = "us"', ["the [[notify]] 'us' needs 'urls'"]),
        ('[[webhook]]\nurl = { fil = "S3CRET" }', ["webhook.0.url", "{ file"]),
        ('[[webhook]]\nurl = "http://h/"\nevents = ["S3CRET"]', ["webhook.0.events.0", "'failed'"]),
        ('[[webhook]]\nurl = "http://h/"\nat_most = "S3CRET"', ["at_most", "'10/hour'"]),
        ('[[webhook]]\nurl = "http://h/"\nheaders = { "a b" = "S3CRET" }', ["headers"]),
        ('webhook = ["S3CRET"]', ["webhook.0"]),
        ('[mqtt]\npasword = "S3CRET"', ["mqtt.pasword", "unknown", "password"]),
        ('[mqtt]\nusername = "S3CRET"', ["mqtt", "host is missing"]),
        ('[mqtt]\nhost = "h"\npassword = "S3CRET"', ["mqtt", "a password needs a username"]),
        ('[mqtt]\nhost = "h"\ntopic = "a/#"', ["mqtt.topic", "'#'"]),
        ('[mqtt]\nhost = "h"\nport = 99999', ["mqtt.port", "65535"]),
        ('mqtt = "S3CRET"', ["mqtt"]),
        ('[[notify]]\nurls = ["json://S3CRET"]\nname = "\\n"', ["notify.0.name", "letters"]),
        ("[[notify]]\nurls = []", ["notify.0.urls", "at least 1"]),
        ('on_classified = "run --token \'S3CRET"', ["on_classified", "No closing quotation"]),
        ('on_classified = " "', ["on_classified", "it has no word"]),
        ('on_clasified = "run --token S3CRET"', ["on_clasified", "unknown", "on_classified"]),
        ('on_failed = ["S3CRET"]', ["on_failed", "string"]),
        (
            '[[webhook]]\nurl = "http://h/S3CRET"\n[[webhook]]\nurl = "http://h/S3CRET2"',
            ["two receivers are called 'webhook h'", "name = "],
        ),
    ],
)
def test_what_is_wrong_is_one_line_without_the_secret(
    tmp_path: Path, text: str, words: list[str]
) -> None:
    with pytest.raises(VidwatchError) as caught:
        load(written(tmp_path, text))
    message = str(caught.value)
    assert "\n" not in message
    assert "S3CRET" not in message
    assert "vidwatch.toml" in message
    assert [word for word in words if word not in message] == []


def test_a_table_may_come_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIDWATCH_MQTT", json.dumps({"host": "h", "port": 99999}))
    with pytest.raises(VidwatchError, match="environment variable VIDWATCH_MQTT is wrong"):
        load(tmp_path / "missing.toml")
    monkeypatch.setenv("VIDWATCH_MQTT", "S3CRET")
    with pytest.raises(VidwatchError, match=r"\"mqtt\".*it must be JSON") as caught:
        load(tmp_path / "missing.toml")
    assert "S3CRET" not in str(caught.value)
    monkeypatch.setenv("VIDWATCH_MQTT", json.dumps({"host": "h"}))
    assert list(load(tmp_path / "missing.toml").receivers) == ["mqtt"]


@pytest.mark.parametrize("name", ["~nobody-of-this-name/token", "a\0b", "a" * 300])
def test_a_file_that_can_be_none_is_an_error_of_ours(tmp_path: Path, name: str) -> None:
    with pytest.raises(VidwatchError, match=r"no path of a file|cannot be read"):
        Secret.model_validate({"file": name}).read(tmp_path)
