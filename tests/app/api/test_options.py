import pytest
from pydantic import ValidationError

from app.api.options import Parameters, negotiate, wants_json
from app.errors import InvalidParameter, NotAcceptable

CHROME = (
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,"
    "application/signed-exchange;v=b3;q=0.7"
)
FIREFOX = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
SAFARI = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
IMAGE_TAG = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"
FIREFOX_IMAGE_TAG = "image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5"


@pytest.mark.parametrize(
    ("accept", "formats"),
    [
        ("", "png jpeg webp tiff"),
        ("*/*", "png jpeg webp tiff"),
        ("image/*", "png jpeg webp tiff"),
        ("image/webp", "webp"),
        ("IMAGE/JPEG", "jpeg"),
        ("image/jpg", "jpeg"),
        ("image/pjpeg;q=0.4, image/x-png", "png jpeg"),
        ("image/tif", "tiff"),
        ("image/jpeg, image/png;q=0.9", "jpeg png"),
        ("image/png;q=0.5, image/tiff", "tiff png"),
        ("image/png; q=0.5, image/tiff; q=0.4", "png tiff"),
        ("image/webp, image/png", "png webp"),
        ("image/png;q=0, */*", "jpeg webp tiff"),
        ("image/webp, */*;q=0.1", "webp png jpeg tiff"),
        ("image/webp;level=1;q=0.9, */*;q=0.1", "webp png jpeg tiff"),
        ("image/avif, image/*;q=0.2", "png jpeg webp tiff"),
        ("*", "png jpeg webp tiff"),
        ("image/jpeg, *; q=.2, */*; q=.2", "jpeg png webp tiff"),
        ("image/png;q=0.12345, image/tiff;q=0.1234567", "tiff png"),
        ("image/png; q = 0.1, image/tiff", "tiff png"),
        ('image/png;q="0.1", image/tiff;q="0.9"', "tiff png"),
        ("image/png;q=9, image/tiff;q=.", "png tiff"),
        ("application/json", "png jpeg webp tiff"),
        *((browser, "png jpeg webp tiff") for browser in (CHROME, FIREFOX, SAFARI, IMAGE_TAG, FIREFOX_IMAGE_TAG)),
        (CHROME + ",image/png;q=0", "jpeg webp tiff"),
    ],
)
def test_the_formats_taken_best_liked_first_and_png_among_equals(accept, formats):
    assert negotiate(accept) == tuple(formats.split())


@pytest.mark.parametrize("accept", ["text/html", "image/gif, text/*", "*/*;q=0", "nonsense", "image/png;q=0"])
def test_who_takes_none_of_the_formats_is_told_which_there_are(accept):
    with pytest.raises(NotAcceptable, match="image/png, image/jpeg, image/webp, image/tiff"):
        negotiate(accept)


@pytest.mark.parametrize(
    ("accept", "from_picture", "from_json"),
    [
        ("", False, True),
        ("*/*", False, True),
        ("application/json", True, True),
        ("application/json, text/plain, */*", False, True),
        ("application/json, image/png", False, True),
        ("application/json, image/png;q=0.5", True, True),
        ("image/png", False, False),
        ("image/png, */*;q=0.1", False, False),
        (CHROME, False, False),
    ],
)
def test_json_is_the_answer_to_json_and_to_those_who_like_it_best(accept, from_picture, from_json):
    """`application/json, text/plain, */*` is what a common client sends with everything."""
    assert (wants_json(accept, False), wants_json(accept, True)) == (from_picture, from_json)


def test_an_explicit_format_goes_before_accept():
    options = Parameters(format="tiff").restore_options("derain", 5, "text/html")
    assert (options.task, options.seconds, options.formats) == ("derain", 5, ("tiff",))


@pytest.mark.parametrize(
    ("name", "format"),
    [("jpg", "jpeg"), ("JPEG", "jpeg"), ("tif", "tiff"), ("PNG", "png"), ("image/jpg", "jpeg"), (".webp", "webp")],
)
def test_the_usual_other_names_of_a_format_are_understood(name, format):
    assert Parameters(format=name).format == format
    assert Parameters().with_fields({"format": name}).format == format


@pytest.mark.parametrize(
    "query",
    [{"format": "gif"}, {"quality": 0}, {"quality": 101}, {"fromat": "png"}, {"damaged": "yes"}, {"format": "image/"}],
)
def test_impossible_and_misspelt_parameters_are_refused_wherever_they_stand(query):
    with pytest.raises(ValidationError):
        Parameters(**query)
    with pytest.raises(InvalidParameter) as refusal:
        Parameters().with_fields({name: str(value) for name, value in query.items()})
    assert refusal.value.extra["parameter"] == next(iter(query))


def test_fields_of_the_body_work_like_the_query():
    found = Parameters(metadata="strip").with_fields(
        {"format": "JPG", "quality": "50", "output": "", "metadata": "strip"}
    )
    assert found.model_dump(exclude_unset=True) == {"format": "jpeg", "quality": 50, "metadata": "strip"}


def test_contradictions_and_misspelt_empty_fields_are_refused():
    with pytest.raises(InvalidParameter, match="one thing in the query"):
        Parameters(quality=90).with_fields({"quality": "50"})
    with pytest.raises(InvalidParameter, match="no parameter 'qualty'"):
        Parameters().with_fields({"qualty": ""})
