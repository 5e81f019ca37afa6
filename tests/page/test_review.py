"""The review page, requested as by a browser, without a browser."""

import html
import json
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from reviewed import CLASSES, NOW, TEMPERATURE, Browser, ReviewedHome, cards_on, hidden, message_on
from reviewed import browser as browser
from reviewed import site as site
from scipy.special import softmax
from tiny import SPEC, cache

from daemon.home.calibration import Calibration, probabilities
from daemon.labels.labels import Label
from daemon.page.site import Site
from daemon.training.decisions import Decisions
from learner import calibration

ROOT = Path(__file__).parents[2]

__all__ = ["cache"]
LEFT = "Left as it is, since someone has labelled it anew since then, or taken your label back"


@pytest.fixture
def home(tmp_path: Path, cache: Path) -> ReviewedHome:
    return ReviewedHome(tmp_path)


def test_a_card_shows_the_three_likeliest_classes_with_their_calibrated_probabilities(
    home: ReviewedHome, browser: Browser
) -> None:
    video = home.clip(logits=(4, 2, 0, -1))
    page = browser.get("/review").text
    odds = probabilities((4, 2, 0, -1), home.calibration)
    buttons = re.findall('name="class" value="([a-z]+)".*?([0-9.]+) %', page, re.DOTALL)
    assert buttons == [(CLASSES[i], f"{100 * odds[i]:.1f}") for i in range(3)]
    assert cards_on(page) == [video]


def test_the_bias_of_a_class_counts_in_the_order_of_the_classes(
    home: ReviewedHome, browser: Browser
) -> None:
    """The raw logits are highest for bright; with its bias, dark was predicted."""
    home.calibration = Calibration(TEMPERATURE, (0.0, 1.5, 0.0, 1.0))
    manifest = home.home.model("tiny").with_suffix(".json")
    document = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**document, "bias": home.calibration.bias}))
    home.clip(logits=(4, 2, 0, -1))
    odds = probabilities((4, 2, 0, -1), home.calibration)
    calibrated = calibration.Calibration(*home.calibration).calibrated(np.array([[4, 2, 0, -1]]))
    assert odds == pytest.approx(softmax(calibrated[0]))
    buttons = re.findall(
        'name="class" value="([a-z]+)".*?([0-9.]+) %', browser.get("/review").text, re.DOTALL
    )
    assert buttons == [(CLASSES[i], f"{100 * odds[i]:.1f}") for i in (1, 0, 3)]
    assert buttons[0][0] == "dark"


def test_probabilities_of_a_model_whose_manifest_is_gone_are_not_made_up(
    home: ReviewedHome, browser: Browser
) -> None:
    home.clip(logits=(4, 2, 0, -1))
    home.home.model("tiny").with_suffix(".json").unlink()
    odds = probabilities((4, 2, 0, -1), home.calibration)[0]
    assert re.findall('class="figure">([0-9.]+) %', browser.get("/review").text) == [
        f"{100 * odds:.1f}"
    ]


def test_a_prediction_is_accepted_by_the_person_who_gave_a_name(
    home: ReviewedHome, browser: Browser
) -> None:
    video = home.clip("a.avi")
    page = browser.submit(video, action="accept").text
    assert home.given_labels("sampled") == [(video, "labelled", "bright", "page", False)]
    assert message_on(page) == "a.avi: accepted"
    assert cards_on(page) == []
    assert home.who() == ["rita"]


@pytest.mark.parametrize(
    "fields",
    [
        {"class": "red"},
        {"action": "other", "other": " red "},
        {"action": "other", "other": "a new class"},
    ],
)
def test_another_class_is_chosen_or_typed(
    home: ReviewedHome, browser: Browser, fields: dict[str, str]
) -> None:
    video = home.clip()
    browser.submit(video, **fields)
    assert home.given_labels("sampled") == [
        (video, "labelled", (fields.get("other") or "red").strip(), "page", False)
    ]


@pytest.mark.parametrize(
    "name", ["", "a/b", ".hidden", "_unsure", "x" * 201, "<script>alert(1)</script>/"]
)
def test_a_refused_class_is_shown_at_its_card_and_the_typed_text_stays(
    home: ReviewedHome, browser: Browser, name: str
) -> None:
    first, video = home.clip(), home.clip()
    response = browser.submit(video, action="other", other=name)
    assert (response.status_code, home.given_labels()) == (422, [])
    assert f'id="error-{video}"' in response.text
    assert f'id="error-{first}"' not in response.text
    assert "<script>alert" not in response.text
    assert 'aria-invalid="true"' in response.text


@pytest.mark.slow
@pytest.mark.parametrize("typed", ["brihgt", "Bright"])
def test_a_class_that_is_nearly_another_one_is_asked_about_at_its_card(
    home: ReviewedHome, browser: Browser, typed: str
) -> None:
    first, second = home.clip(), home.clip()
    asked = browser.submit(first, action="other", other=f" {typed} ")
    assert (asked.status_code, home.given_labels()) == (422, [])
    assert f"there is no class &#39;{typed}&#39;: did you mean &#39;bright&#39;?" in asked.text
    assert asked.text.count("did you mean bright</button>") == 1
    answers = re.findall(r'<button name="(class|new)" value="([^"]+)">(?:did|a new)', asked.text)
    assert answers == [("class", "bright"), ("new", typed)]
    for video, (name, value) in zip((first, second), answers, strict=True):
        browser.submit(video, other=f" {typed} ", **{name: value})
    assert [row[2] for row in home.given_labels()] == ["bright", typed]


@pytest.mark.slow
def test_a_class_that_is_nearly_another_one_is_asked_about_for_several_cards(
    home: ReviewedHome, browser: Browser
) -> None:
    clips = [home.clip(), home.clip()]
    asked = browser.submit(clips, action="other", other="brihgt", bulk="yes").text
    form = asked[asked.index('id="bulk"') : asked.index("</form>", asked.index('id="bulk"'))]
    assert "did you mean bright</button>" in form
    assert asked.count("did you mean bright</button>") == 1
    browser.submit(clips, **{"class": "bright"}, other="brihgt", bulk="yes")
    assert [row[2] for row in home.given_labels()] == ["bright", "bright"]


def test_a_renamed_class_folder_is_asked_about_on_the_page(
    home: ReviewedHome, browser: Browser
) -> None:
    home.clip("a.avi")
    (home.root / "classified/bright").rename(home.root / "classified/sunny")
    found = home.found(home.root / "classified/sunny/a.avi")
    home.class_folders.notice([found], home.tick())
    assert "vidwatch classes rename bright sunny" in browser.get("/review").text
    assert home.given_labels() == []


@pytest.mark.slow
def test_a_clip_is_labelled_unsure(home: ReviewedHome, browser: Browser) -> None:
    video = home.clip()
    browser.submit(video, action="unsure")
    assert home.given_labels("sampled") == [(video, "unsure", None, "page", False)]


@pytest.mark.slow
def test_a_clip_is_skipped_in_this_session_only(
    home: ReviewedHome, site: Site, browser: Browser
) -> None:
    video = home.clip()
    assert cards_on(browser.submit(video, action="skip").text) == []
    left = browser.get("/review").text
    assert "<h1>Only skipped clips are left</h1>" in left
    assert "You have skipped 1 clip: the button above" in left
    assert "show the 1 skipped again" in left
    assert "There is nothing to review" not in left
    assert cards_on(Browser(site).get("/review").text) == [video]
    assert browser.undo() == "1 clip shown again"
    assert cards_on(browser.get("/review").text) == [video]
    assert home.given_labels() == []


def test_the_random_share_is_marked_and_its_labels_say_so(
    home: ReviewedHome, browser: Browser
) -> None:
    drawn, other = home.clip(sampled=True), home.clip()
    page = browser.get("/review").text
    assert page.count("random share</span> Drawn by chance") == 1
    browser.submit([drawn, other], **{"class": "bright"})
    assert sorted(home.given_labels("sampled")) == [
        (drawn, "labelled", "bright", "page", True),
        (other, "labelled", "bright", "page", False),
    ]


@pytest.mark.slow
def test_many_clips_are_accepted_or_labelled_at_once_and_undone_at_once(
    home: ReviewedHome, browser: Browser
) -> None:
    videos = [home.clip(logits=logits) for logits in ((4, 2, 0, -1), (0, 4, 1, 2), (0, 1, 4, 2))]
    browser.submit(videos, action="accept")
    assert [row[2] for row in home.given_labels()] == ["bright", "dark", "grey"]
    assert browser.undo() == "3 labels taken back: clip1.avi, clip2.avi, clip3.avi"
    assert sorted(cards_on(browser.get("/review").text)) == videos
    browser.submit(videos[:2], action="other", other="red")
    assert [row[:3] for row in home.given_labels()[6:]] == [
        (video, "labelled", "red") for video in videos[:2]
    ]


@pytest.mark.slow
def test_hundreds_of_skipped_clips_stay_away_and_a_later_label_can_be_undone(
    home: ReviewedHome, site: Site, browser: Browser
) -> None:
    videos = [home.clip(), home.clip()]
    browser.submit(videos[0], action="skip")
    for absent in range(1000, 1150):
        secret = site.reviewers.form_secret
        form = {"secret": secret, "id": absent, "action": "skip"}
        browser.post("/say", data=form, follow_redirects=False)
    browser.submit(videos[1], action="accept")
    assert cards_on(browser.get("/review").text) == []
    assert browser.undo() == "1 label taken back: clip2.avi"
    assert cards_on(browser.get("/review").text) == [videos[1]]


def test_a_form_without_a_selected_clip_is_refused(browser: Browser) -> None:
    response = browser.submit([], action="accept")
    assert response.status_code == 422
    assert "no clip is selected" in response.text


@pytest.mark.slow
def test_undo_goes_back_one_action_at_a_time_to_the_first_of_this_reviewer(
    home: ReviewedHome, browser: Browser
) -> None:
    first, second = home.clip(), home.clip()
    browser.submit(first, action="accept")
    browser.submit(second, action="unsure")
    assert [browser.undo(), browser.undo(), browser.undo()] == [
        "1 label taken back: clip2.avi",
        "1 label taken back: clip1.avi",
        "there is nothing to undo for rita",
    ]
    assert [row[:2] for row in home.given_labels()[2:]] == [
        (second, "withdrawn"),
        (first, "withdrawn"),
    ]


def test_undo_leaves_a_newer_label_of_someone_else(home: ReviewedHome, browser: Browser) -> None:
    mine, theirs = home.clip("a.avi"), home.clip("b.avi")
    browser.submit([mine, theirs], action="accept")
    home.give_label(theirs, "dark")
    assert browser.undo() == f"1 label taken back: a.avi. {LEFT}: b.avi"
    assert home.given_labels()[-1][:2] == (mine, "withdrawn")


@pytest.mark.slow
def test_undo_never_takes_back_the_label_of_someone_else(
    home: ReviewedHome, browser: Browser
) -> None:
    video = home.clip("a.avi")
    home.give_label(video, "dark", who="bob")
    browser.submit(video, action="accept")
    home.labels.undo([video], "command", "ann", NOW)  # the label of the page
    assert browser.undo() == f"0 labels taken back. {LEFT}: a.avi"
    assert [row[1:3] for row in home.given_labels()] == [
        ("labelled", "dark"),
        ("labelled", "bright"),
        ("withdrawn", None),
    ]
    assert browser.undo() == "there is nothing to undo for rita"


@pytest.mark.slow
def test_undo_says_which_label_counts_again(home: ReviewedHome, browser: Browser) -> None:
    video = home.clip("a.avi")
    home.give_label(video, "dark", who="bob")
    browser.submit(video, action="accept")
    assert browser.undo() == "1 label taken back: a.avi; now dark counts, by bob (command)"


@pytest.mark.slow
def test_one_video_that_changed_meanwhile_keeps_no_other_from_being_undone(
    home: ReviewedHome, browser: Browser
) -> None:
    videos = [home.clip(f"{n}.avi") for n in range(6)]
    browser.submit(videos, action="accept")
    home.labels.undo([videos[0]], "command", "ann", NOW)
    for video in videos[1:4]:
        home.give_label(video, "dark")
    left = f"{LEFT}: 0.avi, 1.avi, 2.avi and 1 clip more"
    assert browser.undo() == f"2 labels taken back: 4.avi, 5.avi. {left}"
    assert sorted(cards_on(browser.get("/review").text)) == [videos[0], *videos[4:]]


@pytest.mark.slow
def test_a_label_that_counts_again_can_be_undone(home: ReviewedHome, browser: Browser) -> None:
    video = home.clip()
    browser.submit(video, action="accept")
    home.give_label(video, "dark")
    home.labels.undo([video], "command", "ann", NOW)
    assert browser.undo() == "1 label taken back: clip1.avi"
    assert cards_on(browser.get("/review").text) == [video]


def test_a_label_that_was_taken_back_after_the_page_was_made_is_reported(
    home: ReviewedHome, browser: Browser
) -> None:
    video = home.clip("a.avi")
    home.give_label(video, "dark")
    secret = hidden(browser.get("/review").text, "secret")
    form = {"secret": secret, "seen": 1, "id": video, "class": "red"}
    home.labels.undo([video], "command", "ann", NOW)
    message = message_on(browser.post("/say", data=form).text)
    meanwhile = "Meanwhile ann took back a label of a.avi (command)"
    assert message == f"a.avi: red. {meanwhile}; that stays in the table"


@pytest.mark.slow
def test_a_video_that_cannot_be_labelled_is_named(home: ReviewedHome, browser: Browser) -> None:
    failed = home.fail("notes.mp4", "not a video")
    for video, reason in (
        (99, "there is no video 99"),
        (failed, "could not be read"),
        ("x", "whole number"),
        ("-1", "whole number"),
        (2**70, "whole number"),
    ):
        response = browser.submit(video, **{"class": "red"})  # type: ignore[arg-type]
        assert response.status_code == 422
        assert reason in response.text
    assert "video 99 has no prediction" in browser.submit(99, action="accept").text
    assert home.given_labels() == []


def test_a_file_that_is_gone_cannot_be_shown_and_can_be_labelled(
    home: ReviewedHome, browser: Browser
) -> None:
    video = home.clip()
    home.path(video).unlink()
    page = browser.get("/review").text
    assert "cannot be shown: " in page
    assert "No such file or directory" in page
    assert browser.get(f"/strip/{video}.jpg").status_code == 404
    browser.submit(video, **{"class": "red"})
    assert home.given_labels()[0][:3] == (video, "labelled", "red")


@pytest.mark.slow
def test_a_strip_is_the_frames_that_the_model_saw_side_by_side(
    home: ReviewedHome, browser: Browser
) -> None:
    video = home.clip()
    response = browser.get(f"/strip/{video}.jpg")
    assert (response.status_code, response.headers["content-type"]) == (200, "image/jpeg")
    picture = cv2.imdecode(np.frombuffer(response.content, np.uint8), cv2.IMREAD_COLOR_RGB)
    assert picture is not None
    assert picture.shape == (32, 4 * 32, 3)
    reds = [int(picture[:, 32 * i : 32 * (i + 1), 0].mean()) for i in range(4)]
    assert reds == sorted(reds)
    assert reds[3] - reds[0] > 16  # of the writer's 8 a frame


@pytest.mark.slow
def test_a_poster_is_the_frame_in_the_middle(home: ReviewedHome, browser: Browser) -> None:
    video = home.clip()
    strip, poster = (
        cv2.imdecode(np.frombuffer(browser.get(f"/{name}/{video}.jpg").content, np.uint8), 1)
        for name in ("strip", "poster")
    )
    side = SPEC.size
    left = SPEC.frames // 2 * side
    assert np.abs(strip[:, left : left + side].astype(int) - poster).max() <= 8
    assert f'poster="/poster/{video}.jpg?of=' in browser.get(f"/clip/{video}").text


@pytest.mark.slow
def test_a_browser_caches_a_strip_by_its_content_and_not_by_an_id_that_another_home_has_too(
    home: ReviewedHome, browser: Browser
) -> None:
    video = home.clip()
    with home.engine.begin() as connection:
        sha256 = connection.exec_driver_sql("SELECT sha256 FROM videos").scalar_one()
    assert f"/strip/{video}.jpg?of={sha256[:16]}&amp;model=tiny" in browser.get("/review").text
    assert "no-store" in browser.get(f"/evidence/{video}").headers["cache-control"]


@pytest.mark.slow
def test_a_strip_is_cached_and_its_file_is_read_once(home: ReviewedHome, browser: Browser) -> None:
    video = home.clip()
    first = browser.get(f"/strip/{video}.jpg").content
    home.path(video).write_bytes(b"something else")
    assert browser.get(f"/strip/{video}.jpg").content == first


@pytest.mark.slow
def test_a_file_that_holds_something_else_now_is_not_shown(
    home: ReviewedHome, browser: Browser
) -> None:
    other, broken, cut = home.clip(), home.clip(), home.clip()
    home.path(other).write_bytes(home.path(cut).read_bytes())
    home.path(broken).write_bytes(b"no video any more")
    response = browser.get(f"/strip/{other}.jpg")
    assert (response.status_code, response.text) == (
        404,
        "the file is no longer the one that was classified",
    )
    assert "not a video" in browser.get(f"/strip/{broken}.jpg").text
    assert "cannot be shown: not a video" in browser.get("/review").text


@pytest.mark.slow
def test_the_evidence_is_drawn_as_a_bar_for_each_frame_and_described_in_words(
    home: ReviewedHome, browser: Browser
) -> None:
    video = home.clip()
    page = browser.get(f"/evidence/{video}").text
    assert page.count("<svg viewBox") == 3
    assert page.count("<rect") == 3 * 4
    assert len(re.findall('aria-label="[a-z]+, 4 steps: highest at step [1-4] ', page)) == 3


@pytest.mark.slow
def test_evidence_comes_from_the_model_in_use(
    home: ReviewedHome, browser: Browser, tmp_path: Path
) -> None:
    video = home.clip()
    assert "zebra" not in browser.get(f"/evidence/{video}").text
    home.save_model("other", tmp_path, ("zebra", "yak", "xerus"))
    Decisions(home.engine).choose("other", NOW)
    assert "zebra" in browser.get(f"/evidence/{video}").text
    assert (
        "Predicted by tiny; frames and evidence are those of other" in browser.get("/review").text
    )


def test_evidence_without_its_model_says_why(home: ReviewedHome, browser: Browser) -> None:
    video = home.clip()
    home.home.model("tiny").with_suffix(".safetensors").unlink()
    response = browser.get(f"/evidence/{video}")
    assert response.status_code == 404
    assert "no evidence: model" in response.text


@pytest.mark.parametrize(
    "path", ["/strip/99.jpg", "/evidence/99", f"/evidence/{2**70}", "/nothing", "/strip/../x.jpg"]
)
def test_an_address_without_a_page_is_not_found(
    home: ReviewedHome, browser: Browser, path: str
) -> None:
    assert browser.get(path).status_code == 404


def test_failures_are_listed_with_their_reasons(home: ReviewedHome, browser: Browser) -> None:
    home.fail("<b>notes.mp4", "not a video: text")
    page = browser.get("/problems").text
    assert "&lt;b&gt;notes.mp4" in page
    assert "not a video: text" in page


def test_models_are_listed_with_their_decisions_and_reports(
    home: ReviewedHome, browser: Browser
) -> None:
    run = home.home.models / "tiny.run"
    run.mkdir()
    for name in ("report.html", "curves.svg", "confusion.svg"):
        (run / name).write_text(f"<svg>{name}</svg>")
    page = browser.get("/models").text
    assert "the model at the start" in page
    assert '<span class="mark">set</span>' in page
    assert page.count('src="/models/tiny/c') == 2
    response = browser.get("/models/tiny/curves.svg")
    assert (response.status_code, response.text) == (200, "<svg>curves.svg</svg>")
    assert "sandbox" in response.headers["content-security-policy"]


def test_only_known_files_of_known_models_are_served(
    home: ReviewedHome, browser: Browser, tmp_path: Path
) -> None:
    run = home.home.models / "tiny.run"
    run.mkdir()
    (run / "settings.json").write_text("{}")
    (tmp_path / "secret").write_text("secret")
    (run / "curves.svg").symlink_to(tmp_path / "secret")
    for path in (
        "tiny/settings.json",
        "tiny/curves.svg",
        "tiny/report.html",
        "none/report.html",
        "..%2F..%2F/report.html",
        "tiny/..%2F..%2Fvidwatch.db",
        "tiny/..%2Ftiny.json",
        "tiny/%2e%2e/tiny.json",
    ):
        assert browser.get(f"/models/{path}").status_code == 404


@pytest.mark.parametrize(
    "path", ["/static/../review.py", "/static/%2e%2e/site.py", "/static/..%2Fsite.py"]
)
def test_only_the_pages_own_static_files_are_served(browser: Browser, path: str) -> None:
    assert browser.get(path).status_code == 404


@pytest.mark.slow
def test_the_history_comes_from_the_random_share_alone(
    home: ReviewedHome, browser: Browser
) -> None:
    right, wrong, other = home.clip(sampled=True), home.clip(sampled=True), home.clip()
    browser.submit(right, **{"class": "bright"})
    browser.submit([wrong, other], action="other", other="red")
    page = re.sub(r"\s+", " ", browser.counted("/quality"))
    assert '<td>tiny</td><td class="n">2</td><td class="n">1</td>' in page
    assert "50.0 %" in page


@pytest.mark.slow
def test_the_page_is_served_before_anything_heavy_is_loaded() -> None:
    heavy = {"torch", "timm", "cv2", "av", "numpy", "matplotlib", "alembic"}
    command = [sys.executable, "-X", "importtime", "-c", "import daemon.page.server"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "daemon.page.app" in loaded
    assert loaded & heavy == set()


NO_TABLE = {"sqlite": "no such table: labels", "postgresql": 'relation "labels" does not exist'}
REFUSE_LABELS = {
    "sqlite": """CREATE TRIGGER refuse BEFORE INSERT ON labels
        BEGIN SELECT RAISE(FAIL, 'disk full'); END""",
    "postgresql": """CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql
        AS $$ BEGIN RAISE EXCEPTION 'disk full'; END $$;
        CREATE TRIGGER refuse BEFORE INSERT ON labels EXECUTE FUNCTION refuse()""",
}
TAKE_LABELS = {"sqlite": "DROP TRIGGER refuse", "postgresql": "DROP FUNCTION refuse CASCADE"}


def reason_in(page: str) -> str:
    """Why the page says that the database cannot be used."""
    found = re.search("the database cannot be used: ([^<]*)<", page)
    assert found
    return html.unescape(found[1])


def test_a_database_that_cannot_be_used_is_reported(
    home: ReviewedHome, browser: Browser, kind_of_database: str
) -> None:
    video = home.clip()
    page = browser.get("/review").text
    with home.writing() as connection:
        connection.exec_driver_sql("ALTER TABLE labels RENAME TO mislaid")
    response = browser.post(
        "/say", data={"secret": hidden(page, "secret"), "id": video, "action": "accept"}
    )
    assert response.status_code == 503
    assert reason_in(response.text) == NO_TABLE[kind_of_database]


@pytest.mark.slow
def test_an_undo_that_could_not_be_written_can_be_tried_again(
    home: ReviewedHome, browser: Browser, kind_of_database: str
) -> None:
    video = home.clip()
    browser.submit(video, action="accept")
    secret = hidden(browser.get("/review").text, "secret")
    with home.writing() as connection:
        connection.exec_driver_sql(REFUSE_LABELS[kind_of_database])
    assert reason_in(browser.post("/undo", data={"secret": secret}).text) == "disk full"
    with home.writing() as connection:
        connection.exec_driver_sql(TAKE_LABELS[kind_of_database])
    assert browser.undo() == "1 label taken back: clip1.avi"
    assert home.given_labels()[-1][:2] == (video, "withdrawn")


def test_only_the_daemon_moves_a_filed_clip_that_was_labelled(
    home: ReviewedHome, browser: Browser
) -> None:
    video = home.clip("a.avi")
    browser.submit(video, action="accept")
    (move,) = home.queue.moves(NOW)
    assert (move.id, Path(move.destination.decode())) == (
        video,
        home.home.root / "labelled/bright/a.avi",
    )
    assert home.path(video).exists()


def test_a_clip_that_was_labelled_unsure_by_command_is_not_shown(
    home: ReviewedHome, browser: Browser
) -> None:
    home.labels.add([Label(home.clip(), "unsure")], "command", "ann", NOW)
    assert "There is nothing to review now" in browser.get("/review").text


@pytest.mark.slow
def test_the_starters_classes_are_offered_nowhere_once_own_classes_are_labelled(
    home: ReviewedHome, browser: Browser
) -> None:
    home.model = home.register("starter", CLASSES)
    Decisions(home.engine).apply_setting("starter", NOW)
    first, second = home.clip(), home.clip()
    browser.submit(first, action="other", other="disc")
    page = browser.get("/review").text
    assert cards_on(page) == [second]
    assert '<span class="mark">starter</span>' in page
    assert re.findall(r'<button name="class" value="(\w+)">', page) == ["disc"]
    assert re.findall(r'<button name="action" value="accept" class', page) == []
    refused = browser.submit(second, action="accept")
    assert refused.status_code == 422
    assert "knows none of your classes: give its class" in refused.text


def test_the_page_says_what_labels_and_status_say_of_the_next_training(
    home: ReviewedHome, browser: Browser
) -> None:
    video = home.clip()
    # The line of state says it, too.
    assert "new labels that start" not in browser.get("/review").text.partition("<main>")[2]
    browser.submit(video, action="accept")
    head, _, page = browser.get("/review").text.partition("<main>")
    assert "1 of the 20 new labels that start the next training" in page
    assert "1 of the 20 new labels that start the next training</li>" in head


@pytest.mark.slow
def test_a_name_that_differs_in_case_only_is_asked_about_at_its_card(
    home: ReviewedHome, browser: Browser
) -> None:
    video = home.clip()
    refused = browser.submit(video, action="other", other="Bright")
    assert refused.status_code == 422
    assert "did you mean &#39;bright&#39;?" in refused.text
    assert home.given_labels() == []
